-- Stands before every script on one conversation. They all take the same keys:
--   content, record, recent, expiry, runs, aside [, order of the owner]
-- and as the first arguments the id and the owner ('' for nobody).
local content, record, recent, expiry, runs, aside, owned = unpack(KEYS)
local id, owner = ARGV[1], ARGV[2]
if owner == '' then owned = nil end  -- the key of another argument then

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function born()
  redis.call('HSET', record, 'created', clock())
end

-- Everything of the conversation but the field that Griptape knows.
local function forget()
  redis.call('DEL', record, runs)
  redis.call('ZREM', recent, id)
  redis.call('ZREM', expiry, id)
  if owned then redis.call('ZREM', owned, id) end
end

-- Whether the conversation exists; what is past its deadline is gone.
local function alive()
  local deadline = tonumber(redis.call('HGET', record, 'expires'))
  if deadline and deadline <= clock() then
    redis.call('HDEL', content, id)
    forget()
    return false
  end
  return redis.call('HEXISTS', content, id) == 1
end

-- The owner, if it is another than the caller's: a conversation has one from its first write on.
local function other_owner(exists)
  local stored = redis.call('HMGET', record, 'owner', 'version')
  if (exists or stored[2]) and (stored[1] or '') ~= owner then return stored[1] or '' end
end

-- A deadline slides with each write. A lifetime given to the driver stays with the conversation; 0
-- pins it. Where fields can expire, the field does as well, and frees its memory unasked.
local function slide(time, lifetime, default)
  if lifetime ~= '' then redis.call('HSET', record, 'ttl', lifetime) end
  lifetime = tonumber(redis.call('HGET', record, 'ttl') or default)
  if not lifetime then return end
  if lifetime == 0 then
    redis.call('HDEL', record, 'expires')
    redis.call('ZREM', expiry, id)
    redis.call('PERSIST', runs)
    redis.pcall('HPERSIST', content, 'FIELDS', 1, id)
  else
    redis.call('HSET', record, 'expires', time + lifetime)
    redis.call('ZADD', expiry, time + lifetime, id)
    redis.call('PEXPIREAT', runs, time + lifetime)
    redis.pcall('HPEXPIREAT', content, time + lifetime, 'FIELDS', 1, id)
  end
end

-- What goes with every write of content. Returns the new version.
local function touch(count, seal, lifetime, default)
  local time = clock()
  redis.call('HSET', record, 'updated', time, 'runs', count, 'seal', seal)
  redis.call('ZADD', recent, time, id)
  if owner ~= '' then
    redis.call('HSET', record, 'owner', owner)
    redis.call('ZADD', owned, time, id)
  end
  slide(time, lifetime, default)
  return redis.call('HINCRBY', record, 'version', 1)
end
