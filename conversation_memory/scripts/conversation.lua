-- needs: common
--
-- Stands before every script on one conversation. They all take the same keys:
--   content, record, recent, expiry, runs, ids, call, root [, order of the owner]
-- and as the first arguments the id and the owner ('' for nobody).
--
-- A script that fails is not rolled back. So each is refused at once to a user who lacks a permission
-- for any of it (redis_io/scripts.py puts that in front), then reads (which finds keys of another
-- type), then adds the conversation to the recency indexes (where a needless entry does no harm),
-- then writes content, and at last the record, in one call.
local content, record, recent, expiry, runs, ids, call, root, owned = unpack(KEYS)
local id, owner = ARGV[1], ARGV[2]
if owner == '' then owned = nil end  -- the key of another argument then

-- How long an answer is kept for a call that is sent again, and the ids of runs for an append that
-- is repeated, in ms.
local CALL, IDS = 300000, 3600000
-- From this length on, in bytes, a document is not compared by its digest if that can be helped.
local LONG = 32768
-- A time for a long document to expire that never comes: the start of the year 3000, in ms.
local NEVER = 32503680000000

-- redis-py sends a call again when the connection was lost before the answer came. The key `call`,
-- which is of this call alone, keeps the answer, so that it is not applied again whatever became of
-- the conversation since.
local function answer(value)
  redis.call('SET', call, value, 'PX', CALL)
  return value
end

-- Delete the search documents of a token. Their names are made here and in documents.lua.
local function unregister(token)
  local named = redis.call('HGET', root .. 'tokens', token)
  if named and named ~= id then return end  -- they are another conversation's
  local registry = root .. 'documents:' .. token
  local suffixes = tolerant('SMEMBERS', registry) or {}
  for _, suffix in ipairs(suffixes) do redis.call('DEL', root .. 'run:' .. token .. ':' .. suffix) end
  redis.call('DEL', registry)
  redis.call('HDEL', root .. 'tokens', token)
  -- Neither is worth a refusal: a wrong count is put right by the next reindex or check.
  redis.pcall('SREM', root .. 'stale', token)
  if #suffixes > 0 then redis.pcall('HINCRBY', root .. 'search', 'documents', -#suffixes) end
end

-- What is deleted or moved cannot be taken back: a recency index of another type has to fail before.
local function check_orders(other)
  for _, order in pairs({recent, expiry, owned or recent, other or recent}) do
    redis.call('ZCARD', order)
  end
end

-- Leave the order of the owner. With the last conversation goes what stands for the owner in search
-- documents: what RediSearch may keep of it for a while means nothing then.
local function disown()
  if not owned then return end
  redis.call('ZREM', owned, id)
  if redis.call('EXISTS', owned) == 0 then redis.call('HDEL', root .. 'owners', owner) end
end

-- Everything of the conversation but the field that Griptape knows.
local function forget()
  local token = redis.call('HGET', record, 'token')
  if token then unregister(token) end
  redis.call('DEL', record, runs, ids)
  redis.call('ZREM', recent, id)
  redis.call('ZREM', expiry, id)
  disown()
end

-- The record, and of the field whether it `exists` and its `size`. What is past its deadline does
-- not exist, and goes if the caller knows its owner, whose order is a key of its own.
local function open()
  local fields = redis.call('HMGET', record, 'owner', 'version', 'expires', 'ttl', 'bytes', 'runs',
    'layout', 'length', 'updated', 'token', 'tag', 'facets', 'indexed')
  local stored = {
    owner = fields[1] or '', known = fields[2] ~= false, version = number(fields[2]) or 0,
    expires = number(fields[3]), ttl = number(fields[4]), bytes = number(fields[5]) or 0,
    runs = number(fields[6]) or 0, layout = fields[7], length = number(fields[8]),
    updated = number(fields[9]), token = fields[10], tag = fields[11] or '',
    facets = fields[12] or '', indexed = fields[13],
  }
  if stored.token and not stored.token:find('^' .. ('%x'):rep(16) .. '$') then
    stored.token, stored.indexed = false, false  -- no documents are known by it
  end
  if stored.expires and stored.expires <= clock() then
    if stored.owner == owner then
      redis.call('HDEL', content, id)
      forget()
      stored = {owner = '', version = 0, bytes = 0, runs = 0, tag = '', facets = ''}
    end
    stored.past = true
    stored.exists, stored.size = false, -1
    return stored
  end
  stored.size = redis.call('HSTRLEN', content, id)
  stored.exists = stored.size > 0 or redis.call('HEXISTS', content, id) == 1
  if not stored.exists then stored.size = -1 end
  return stored
end

-- Why the caller may not write, if so: the conversation is another owner's, as it has one from its
-- first write on; or it was, and the caller has to forget it first, as its owner.
local function refusal(stored)
  if (stored.exists or stored.known) and stored.owner ~= owner then
    return {stored.past and 'past' or 'owner', stored.owner, id}
  end
end

-- The conversation; and what to return at once, if so: the answer to a call that was applied already,
-- or why the caller may not write.
local function enter()
  local before = redis.call('GET', call)
  if before then return nil, tonumber(before) or before end
  local stored = open()
  return stored, refusal(stored)
end

-- The deadline of a write at `time`, nil for none. A lifetime given by the caller stays with the
-- conversation, 0 pins it; else the one of the index counts.
local function deadline_of(stored, time, lifetime, default)
  lifetime = tonumber(lifetime) or stored.ttl or tonumber(default) or 0
  if lifetime > 0 then return time + lifetime end
end

-- Put the conversation into the orders. Returns the time of the write, nil if it is to stay unknown,
-- and the deadline, for `note`. A write that changes nothing but the form `keeps` those there are.
local function place(stored, lifetime, default, keeps)
  redis.call('LLEN', runs)  -- what is of another type, a write would overwrite
  local time = clock()
  local score, deadline = time, deadline_of(stored, time, lifetime, default)
  if keeps == '1' then
    time, deadline = stored.updated, stored.expires
    score = redis.call('ZSCORE', recent, id)
  end
  if score then
    redis.call('ZADD', recent, score, id)
    if owned then redis.call('ZADD', owned, score, id) end
  end
  if deadline then
    redis.call('ZADD', expiry, deadline, id)
  elseif stored.expires then
    redis.call('ZREM', expiry, id)
  end
  return time, deadline
end

-- Where fields can expire, the field does, and frees its memory unasked. A plain HSET, as other
-- programs send, forgets it: so that of a long document, which has one in any case, tells whether
-- somebody wrote over it.
local function expire(stored, deadline, size)
  local time = deadline or size > LONG and NEVER
  if time then
    redis.pcall('HPEXPIREAT', content, time, 'FIELDS', 1, id)
  elseif stored.expires then
    redis.pcall('HPERSIST', content, 'FIELDS', 1, id)
  end
  if deadline then
    redis.pcall('PEXPIREAT', runs, deadline)
  elseif stored.expires then
    redis.pcall('PERSIST', runs)
  end
end

local function is_untouched()
  local times = redis.pcall('HPEXPIRETIME', content, 'FIELDS', 1, id)
  return not times.err and times[1] > 0
end

-- What a record says whose search documents are those of all runs: of that schema, as of that
-- version, beside a field of that size, which another program changes.
local function indexed_as(schema, version, size)
  return string.format('%s-%d-%d', schema, version, size)
end

-- Write the record after a write of content: `fields`, and what every write changes. Returns the
-- new version.
local function note(stored, time, deadline, lifetime, fields)
  -- A conversation that is deleted and begun anew must not come by a version it had before.
  local version = (stored.known and stored.version or clock()) + 1
  local function set(field, value)
    fields[#fields + 1] = field
    fields[#fields + 1] = value
  end
  set('version', version)
  if time then set('updated', time) end
  if deadline or stored.expires then set('expires', deadline or '') end
  if not stored.exists then set('created', time) end
  if owned then set('owner', owner) end
  if lifetime ~= '' then set('ttl', lifetime) end
  if stored.schema then
    set('indexed', indexed_as(stored.schema, version, stored.written))
  elseif stored.token then  -- a writer without SEARCH, or of one run among others without documents
    redis.pcall('SADD', root .. 'stale', stored.token)
  end
  redis.call('HSET', record, unpack(fields))
  return version
end

-- If the conversation is another than the caller has read, by ARGV: version ('' any), length of the
-- field ('' any, -1 absent), its SHA-1 ('' any), behind id and owner.
-- {'changed'} if it is; {'digest'} if nothing but a digest of the long document can tell; or nil.
local function difference(stored)
  local version, length, digest = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
  if version and stored.version ~= version or length and stored.size ~= length then
    return {'changed'}
  end
  if digest ~= '' then
    local same = redis.sha1hex(redis.call('HGET', content, id)) == digest
    return not same and {'changed'} or nil
  end
  if length and length > LONG and not is_untouched() then return {'digest'} end
end

-- Layout `list`: the runs of the last hour by a digest of their id, so that an append that is
-- repeated finds them whatever came in between. In layout `hash`, the document tells.
local function remember(digests)
  if #digests == 0 then return end
  local now = clock()
  redis.call('ZREMRANGEBYSCORE', ids, '-inf', now - IDS)
  for i = 1, #digests, MANY do
    local scored = {}
    for j = i, math.min(i + MANY - 1, #digests) do
      scored[#scored + 1] = now
      scored[#scored + 1] = digests[j]
    end
    redis.call('ZADD', ids, unpack(scored))
  end
  redis.call('PEXPIRE', ids, IDS)
end

local function unlearn(digests)
  for _, digest in ipairs(digests) do redis.call('ZREM', ids, digest) end
end
