-- Give a breaker its policy; a breaker without a record gets an empty record.
-- The clock looks at a known breaker at once, since the new policy may call for another decision.
--
-- KEYS  1 record (hash)  2 due entries of the namespace (sorted set)  3 journal of the breaker (stream)
-- ARGV  1 policy  2 member of the breaker's timer among the due entries  3 journal entry  4 next version
-- Reply 1 if the policy was written, 0 if the record has it already.
if redis.call('HGET', KEYS[1], 'policy') == ARGV[1] then return 0 end
-- Fails here, before the first write, if the key is of another type.
redis.call('ZCARD', KEYS[2])
if redis.call('HEXISTS', KEYS[1], 'breaker') == 1 then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', JOURNAL_CAP, '*', 'entry', ARGV[3])
  redis.call('ZADD', KEYS[2], clock(), ARGV[2])
  redis.call('HSET', KEYS[1], 'dues', '')
else
  redis.call('HSET', KEYS[1], 'breaker', '{}', 'placement', '{}', 'dues', '- -')
end
redis.call('HSET', KEYS[1], 'version', ARGV[4], 'policy', ARGV[1])
return 1
