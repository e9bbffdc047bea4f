-- Stands before every script on one conversation. They all take the same keys:
--   content, record, recent, expiry, runs, aside [, order of the owner]
-- and as the first arguments the id and the owner ('' for nobody).
--
-- A script that fails is not rolled back. So each first reads (which finds keys of another type),
-- then puts the conversation into the orders (where a needless entry does no harm), then writes
-- content, and at last the record, in one call.
local content, record, recent, expiry, runs, aside, owned = unpack(KEYS)
local id, owner = ARGV[1], ARGV[2]
if owner == '' then owned = nil end  -- the key of another argument then

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A number of the record; garbage counts as not there.
local function number(field)
  return tonumber((redis.call('HGET', record, field) or ''):match('^%d+$'))
end

-- Everything of the conversation but the field that Griptape knows.
local function forget()
  redis.call('DEL', record, runs)
  redis.call('ZREM', recent, id)
  redis.call('ZREM', expiry, id)
  if owned then redis.call('ZREM', owned, id) end
end

-- Whether the conversation exists. What is past its deadline does not, and goes if the caller knows
-- its owner, whose order is a key of its own.
local function alive()
  local deadline = number('expires')
  if deadline and deadline <= clock() then
    if (redis.call('HGET', record, 'owner') or '') == owner then
      redis.call('HDEL', content, id)
      forget()
    end
    return false
  end
  return redis.call('HEXISTS', content, id) == 1
end

-- The owner, if it is another than the caller's: a conversation has one from its first write on.
local function other_owner(exists)
  local stored = redis.call('HMGET', record, 'owner', 'version')
  if (exists or stored[2]) and (stored[1] or '') ~= owner then return stored[1] or '' end
end

-- The deadline of a write at `time`, false for none. A lifetime given by the caller stays with the
-- conversation, 0 pins it; else the one of the index counts.
local function deadline_of(time, lifetime, default)
  lifetime = tonumber(lifetime) or number('ttl') or tonumber(default) or 0
  return lifetime > 0 and time + lifetime
end

-- Put the conversation into the orders. Returns time and deadline for `note`.
local function place(lifetime, default)
  local time = clock()
  local deadline = deadline_of(time, lifetime, default)
  redis.call('ZADD', recent, time, id)
  if owned then redis.call('ZADD', owned, time, id) end
  if deadline then redis.call('ZADD', expiry, deadline, id) else redis.call('ZREM', expiry, id) end
  return time, deadline
end

-- Where fields can expire, the field does, and frees its memory unasked.
local function expire(deadline)
  if deadline then
    redis.call('PEXPIREAT', runs, deadline)
    redis.pcall('HPEXPIREAT', content, deadline, 'FIELDS', 1, id)
  else
    redis.call('PERSIST', runs)
    redis.pcall('HPERSIST', content, 'FIELDS', 1, id)
  end
end

-- Write the record after a write of content: `fields`, and what every write changes. Returns the
-- new version.
local function note(exists, time, deadline, lifetime, fields)
  local version = (number('version') or 0) + 1
  local function set(field, value)
    fields[#fields + 1] = field
    fields[#fields + 1] = value
  end
  set('version', version)
  set('updated', time)
  set('expires', deadline or '')
  if not exists then set('created', time) end
  if owner ~= '' then set('owner', owner) end
  if lifetime ~= '' then set('ttl', lifetime) end
  redis.call('HSET', record, unpack(fields))
  return version
end
