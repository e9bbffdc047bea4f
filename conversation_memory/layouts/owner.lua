-- Give a conversation to another owner.
--
-- KEYS  ... , order of the new owner, last
-- ARGV  id, owner, new owner ('' nobody)
-- Returns 1, 0 if there is no such conversation, or {'owner', its owner} if that is another.
if not alive() then return 0 end
local other = other_owner(true)
if other then return {'owner', other} end
if owner ~= '' then redis.call('ZREM', owned, id) end
if ARGV[3] == '' then
  redis.call('HDEL', record, 'owner')
else
  redis.call('ZADD', KEYS[#KEYS], number('updated') or clock(), id)
  redis.call('HSET', record, 'owner', ARGV[3])
end
redis.call('HSET', record, 'version', (number('version') or 0) + 1)
return 1
