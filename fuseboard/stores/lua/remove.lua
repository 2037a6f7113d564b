-- Take breakers from the table, and from the list of namespaces the namespaces that the table no longer has.
--
-- KEYS  1 table (hash)  2 namespaces (set)  3 version of the table
-- ARGV  1 next version of the table  2… keys of the breakers, 'namespace/name'
-- Reply 1 if the table had any of the breakers, else 0.
if redis.call('HDEL', KEYS[1], unpack(ARGV, 2)) == 0 then return 0 end
local left = {}
for _, key in ipairs(redis.call('HKEYS', KEYS[1])) do left[string.match(key, '^[^/]*')] = true end
for _, namespace in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  if not left[namespace] then redis.call('SREM', KEYS[2], namespace) end
end
redis.call('SET', KEYS[3], ARGV[1])
return 1
