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
  redis.call('HSET', record, 'owner', ARGV[3])
  redis.call('ZADD', KEYS[#KEYS], redis.call('HGET', record, 'updated') or clock(), id)
end
redis.call('HINCRBY', record, 'version', 1)
return 1
