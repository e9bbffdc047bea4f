-- Give a conversation another id.
--
-- KEYS  ... , record and runs of the new id, last
-- ARGV  id, owner, new id
-- Returns 1, 0 if there is no such conversation, -1 if the new id is taken, or {'owner', its owner}.
local renamed, moved, target = KEYS[#KEYS - 1], KEYS[#KEYS], ARGV[3]
if not alive() then return 0 end
local other = other_owner(true)
if other then return {'owner', other} end
if redis.call('HEXISTS', content, target) == 1 or redis.call('EXISTS', renamed) == 1 then return -1 end

local function carry(order)
  local score = redis.call('ZSCORE', order, id)
  if score then
    redis.call('ZADD', order, score, target)
    redis.call('ZREM', order, id)
  end
end

redis.call('HSET', content, target, redis.call('HGET', content, id))
redis.call('HDEL', content, id)
if redis.call('EXISTS', record) == 1 then redis.call('RENAME', record, renamed) end
if redis.call('EXISTS', runs) == 1 then redis.call('RENAME', runs, moved) end
carry(recent)
carry(expiry)
if owned then carry(owned) end
local deadline = redis.call('HGET', renamed, 'expires')
if deadline and deadline ~= '' then redis.pcall('HPEXPIREAT', content, deadline, 'FIELDS', 1, target) end
return 1
