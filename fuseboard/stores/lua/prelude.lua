-- Stands before every script, after the constants of scripts.py (JOURNAL_CAP, MAX_DRIFT_MS, …).

-- The server's time, in milliseconds since 1970.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
