-- Write a decision on a breaker, if the record is still at the version that the decision was made on.
--
-- KEYS  1 record (hash)  2 due entries of the namespace (sorted set)  3 journal of the breaker (stream)
-- ARGV  1 version of the record  2 time of the decision in ms  3 breaker  4 placement, empty if unchanged
--       5 due times '<timer> <debt>' in ms, '-' for none; empty if unchanged  6 name of the breaker  7 next version
--       8… journal entries
-- Reply {1, now} if written, or {0, now, {version, policy, breaker, placement, dues}} to decide again.
local now = clock()
local record = KEYS[1]
if redis.call('HGET', record, 'version') ~= ARGV[1] or math.abs(now - ARGV[2]) > MAX_DRIFT_MS then
  return {0, now, redis.call('HMGET', record, 'version', 'policy', 'breaker', 'placement', 'dues')}
end
local placement, dues = ARGV[4], ARGV[5]
-- Fails here, before the first write, if the key is of another type.
if dues ~= '' then redis.call('ZCARD', KEYS[2]) end
for i = 8, #ARGV do
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', JOURNAL_CAP, '*', 'entry', ARGV[i])
end
if dues ~= '' then
  local timer, debt = string.match(dues, '(%S+) (%S+)')
  for kind, at in pairs({[TIMER] = timer, [DEBT] = debt}) do
    local member = kind .. ':' .. ARGV[6]
    if at == '-' then
      redis.call('ZREM', KEYS[2], member)
    else
      redis.call('ZADD', KEYS[2], at, member)
    end
  end
end
local fields = {'version', ARGV[7], 'breaker', ARGV[3]}
if placement ~= '' then fields[5], fields[6] = 'placement', placement end
if dues ~= '' then fields[#fields + 1], fields[#fields + 2] = 'dues', dues end
redis.call('HSET', record, unpack(fields))
return {1, now}
