"""The scripts of the store in Redis, and the keys that they work on.

A script decides nothing. It compares what the caller decided on with what is there, and writes all or nothing: Redis
does not roll back, so whatever can fail comes before the first write, and the record, which remembers the event, last.
"""

from secrets import randbits
from typing import Final

from fuseboard.stores.connection import GLOBAL_TAG
from fuseboard.stores.records import DEBT, FIRST_AGAIN_MS, JOURNAL_CAP, LAST_AGAIN_MS, TIMER

MAX_DRIFT_MS: Final = 250
"""A decision that was made for another moment than this far from now is made again."""

FIELDS: Final = ("version", "policy", "breaker", "placement", "dues")

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# KEYS: record, what is due, journal.
# ARGV: version, now, breaker, placement or nothing, dues or nothing, name, next version, entry…
# Dues are two moments or '-', of timer and debt: what stands in the record is what was last written for them.
CHANGE: Final = f"""
{_NOW}
local record = KEYS[1]
if redis.call('HGET', record, 'version') ~= ARGV[1] or math.abs(now - ARGV[2]) > {MAX_DRIFT_MS} then
  return {{0, now, redis.call('HMGET', record, '{"', '".join(FIELDS)}')}}
end
local placement, dues = ARGV[4], ARGV[5]
if dues ~= '' then redis.call('ZCARD', KEYS[2]) end
for i = 8, #ARGV do
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', {JOURNAL_CAP}, '*', 'entry', ARGV[i])
end
if dues ~= '' then
  local timer, debt = string.match(dues, '(%S+) (%S+)')
  for kind, at in pairs({{['{TIMER}:'] = timer, ['{DEBT}:'] = debt}}) do
    if at == '-' then
      redis.call('ZREM', KEYS[2], kind .. ARGV[6])
    else
      redis.call('ZADD', KEYS[2], at, kind .. ARGV[6])
    end
  end
end
local fields = {{'version', ARGV[7], 'breaker', ARGV[3]}}
if placement ~= '' then fields[5], fields[6] = 'placement', placement end
if dues ~= '' then fields[#fields + 1], fields[#fields + 2] = 'dues', dues end
redis.call('HSET', record, unpack(fields))
return {{1, now}}
"""

# KEYS: record, what is due, journal.  ARGV: policy, timer's member, entry, next version.
# A breaker that was known is looked at by the clock at once: its new policy may ask for something else.
APPLY: Final = f"""
{_NOW}
if redis.call('HGET', KEYS[1], 'policy') == ARGV[1] then return 0 end
redis.call('ZCARD', KEYS[2])
if redis.call('HEXISTS', KEYS[1], 'breaker') == 1 then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', {JOURNAL_CAP}, '*', 'entry', ARGV[3])
  redis.call('ZADD', KEYS[2], now, ARGV[2])
  redis.call('HSET', KEYS[1], 'dues', '')
else
  redis.call('HSET', KEYS[1], 'breaker', '{{}}', 'placement', '{{}}', 'dues', '- -')
end
redis.call('HSET', KEYS[1], 'version', ARGV[4], 'policy', ARGV[1])
return 1
"""

# KEYS: table, namespaces, version of the table.  ARGV: the next version, keys of breakers.
LEAVE: Final = """
if redis.call('HDEL', KEYS[1], unpack(ARGV, 2)) == 0 then return 0 end
local left = {}
for _, key in ipairs(redis.call('HKEYS', KEYS[1])) do left[string.match(key, '^[^/]*')] = true end
for _, namespace in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  if not left[namespace] then redis.call('SREM', KEYS[2], namespace) end
end
redis.call('SET', KEYS[3], ARGV[1])
return 1
"""

# KEYS: what is due, how often it has come.  ARGV: limit.
# An attempt is kept with the moment that it was put off to: one that a change has set since is a first one again.
TAKE_DUE: Final = f"""
{_NOW}
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
local answer = {{now}}
for i = 1, #found, 2 do
  local member, at, attempt = found[i], found[i + 1], 0
  local again, times = string.match(redis.call('HGET', KEYS[2], member) or '', '(%d+) (%d+)')
  if again == at then attempt = tonumber(times) end
  local later = string.format('%.0f', now + math.min({FIRST_AGAIN_MS} * 2 ^ attempt, {LAST_AGAIN_MS}))
  redis.call('HSET', KEYS[2], member, later .. ' ' .. attempt + 1)
  redis.call('ZADD', KEYS[1], later, member)
  for _, each in ipairs({{member, at, attempt}}) do answer[#answer + 1] = each end
end
return answer
"""

TABLE: Final = f"fuseboard:{GLOBAL_TAG}:table"
TABLE_VERSION: Final = f"fuseboard:{GLOBAL_TAG}:table:version"
NAMESPACES: Final = f"fuseboard:{GLOBAL_TAG}:namespaces"


def next_version() -> bytes:
    """Return a version that no record, and no table, ever had.

    Not the next number: a server that lost its memory would count up to it once more, and a process that still has a
    copy of that number would write it over what was decided since.
    """
    return b"%d" % randbits(62)


def keys_of(key: str) -> tuple[str, str, str]:
    """Return the keys of a breaker: its record, what is due in its namespace, its journal."""
    namespace, _, name = key.partition("/")
    tag = f"fuseboard:{{{namespace}}}"
    return f"{tag}:breaker:{name}", f"{tag}:due", f"{tag}:journal:{name}"


def due_keys(namespace: str) -> tuple[str, str]:
    """Return the keys of a namespace: what is due there, and how often it has come."""
    due = f"fuseboard:{{{namespace}}}:due"
    return due, f"{due}:attempts"


def members_of(key: str) -> tuple[str, str]:
    """Return the names of a breaker's timer and debt among what is due."""
    name = key.partition("/")[2]
    return f"{TIMER}:{name}", f"{DEBT}:{name}"
