-- Hand out the entries of a namespace that are due, and put each off: it comes again unless a change removes it.
--
-- KEYS  1 due entries of the namespace (sorted set: member by time in ms)  2 attempts (hash: '<time> <count>')
-- ARGV  1 how many entries to hand out at most
-- Reply {now, member, time, attempt, member, time, attempt, …}; times in ms.
--
-- A count of attempts is kept with the time that the entry was put off to. An entry with another time has been set
-- by a change since, and starts at attempt 0.
local now = clock()
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
local answer = {now}
for i = 1, #found, 2 do
  local member, at, attempt = found[i], found[i + 1], 0
  local again, times = string.match(redis.call('HGET', KEYS[2], member) or '', '(%d+) (%d+)')
  if again == at then attempt = tonumber(times) end
  local later = string.format('%.0f', now + math.min(FIRST_AGAIN_MS * 2 ^ attempt, LAST_AGAIN_MS))
  redis.call('HSET', KEYS[2], member, later .. ' ' .. attempt + 1)
  redis.call('ZADD', KEYS[1], later, member)
  for _, each in ipairs({member, at, attempt}) do answer[#answer + 1] = each end
end
return answer
