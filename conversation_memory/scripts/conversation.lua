-- needs: common
-- Stands before every script on one conversation. They all take the same keys:
--   content, record, recent, expiry, runs, ids, call, stale, checkpoints [, order of the owner]
-- and as the first arguments the id and the owner ('' for nobody). A script that fails is not
-- rolled back. So each asks for all its permissions (allowed.lua), then reads (which finds keys of
-- another type), then adds to the recency indexes (where a needless entry does no harm), then
-- writes content, and at last the record, in one call.
local content, record, recent, expiry, runs, ids, call, stale, checkpoints, owned = unpack(KEYS, 1, 10)
local id, owner = ARGV[1], ARGV[2]
if owner == '' then owned = nil end  -- the key of another argument then
local root = stale:sub(1, -1 - #'stale')  -- only for the names of what a search needs

-- In ms, how long answers to calls and ids of runs are kept, which tell those that are repeated.
local CALL, IDS = 300000, 3600000
local KNOWN = 256  -- of how many runs at least the ids are kept
local DOCUMENTS = 200  -- search documents that are changed at once
local LONG = 32768  -- from this length on, in bytes, a digest costs more than other ways to compare
local NEVER = 32503680000000  -- when a long document expires: in the year 3000, in ms

-- redis-py sends a call again when the connection was lost before the answer came. The key `call`,
-- which is of this call alone, keeps the answer, so that it is not applied twice.
local function answer(value)
  redis.call('SET', call, value, 'PX', CALL)
  return value
end

-- Delete search documents of a token, at most some hundreds, as each one costs RediSearch time.
-- Returns true if none are left; else sweep.lua has to go on, for which the token is noted. Their
-- names are made here and in documents.lua.
local function unregister(token)
  local named = redis.call('HGET', root .. 'tokens', token)
  if named and named ~= id then return true end  -- they are another conversation's
  local registry = root .. 'documents:' .. token
  local suffixes = tolerant('SPOP', registry, DOCUMENTS) or {}
  local prefix = root .. 'run:' .. token .. ':'
  for _, suffix in ipairs(suffixes) do redis.call('UNLINK', prefix .. suffix) end
  -- Not worth a refusal: a wrong count is put right by the next reindex or check.
  if #suffixes > 0 then redis.pcall('HINCRBY', root .. 'search', 'documents', -#suffixes) end
  if (tolerant('SCARD', registry) or 0) > 0 then
    redis.call('HSETNX', root .. 'tokens', token, id)
    redis.pcall('SADD', stale, token)
    return false
  end
  redis.call('UNLINK', registry)
  redis.call('HDEL', root .. 'tokens', token)
  redis.pcall('SREM', stale, token)
  return true
end

-- The record, and of the field whether it `exists` and its `size`. An expired conversation is `past`
-- and does not exist.
local function open()
  local fields = redis.call('HMGET', record, 'owner', 'version', 'expires', 'ttl', 'bytes', 'runs',
    'layout', 'length', 'updated', 'token', 'tag', 'facets', 'indexed', 'end', 'title')
  local stored = {
    owner = fields[1] or '', known = fields[2] ~= false, version = number(fields[2]) or 0,
    expires = number(fields[3]), ttl = number(fields[4]), bytes = number(fields[5]) or 0,
    runs = number(fields[6]) or 0, layout = fields[7], length = number(fields[8]),
    updated = number(fields[9]), token = fields[10], tag = fields[11] or '',
    facets = fields[12] or '', indexed = fields[13], ends = number(fields[14]),
    titled = fields[15] ~= false,
  }
  if stored.token and not stored.token:find('^' .. ('%x'):rep(16) .. '$') then
    stored.token, stored.indexed = false, false  -- no documents are known by it
  end
  if stored.expires and stored.expires <= clock() then
    stored.past = true
  else
    stored.size = redis.call('HSTRLEN', content, id)
    stored.exists = stored.size > 0 or redis.call('HEXISTS', content, id) == 1
  end
  if not stored.exists then stored.size = -1 end
  return stored
end

-- The layouts end in '+cm1' where everything is encrypted; see encryption/.
local function is_list_form(layout) return layout and layout:sub(1, 4) == 'list' end

local function is_sealed(layout) return layout and layout:sub(-4) == '+cm1' end

-- The refusal of a writer that would put a text in the clear beside or over encrypted ones, if need
-- be over a `question`. A conversation whose record was lost is known by its content.
local function unsealed(stored, layout, question)
  if is_sealed(layout) then return nil end
  local function key_of(text) return (text or ''):match('^cm1%.([%w_-]+)%.') end
  local key = key_of(question)
  if not key and (is_sealed(stored.layout) or stored.exists and not stored.layout) then
    key = key_of(redis.call('HGET', content, id)) or is_sealed(stored.layout) and ''
  end
  return key and {'sealed', key} or nil
end

-- Why the caller may not write: it has expired, and forget.lua has to delete it first, which needs
-- more keys; or it is another owner's.
local function refusal(stored)
  if stored.past then return {'past', stored.owner, id} end
  if (stored.exists or stored.known) and stored.owner ~= owner then
    return {'owner', stored.owner, id}
  end
end

-- The conversation, and what to return at once: an answer that was given already, or a refusal.
local function enter()
  local before = redis.call('GET', call)
  -- Written again, as WAIT waits only for a call that writes. A token may be of 16 digits, too.
  if before then return nil, #answer(before) < 16 and tonumber(before:match('^%-?%d+$')) or before end
  local stored = open()
  return stored, refusal(stored)
end

-- The deadline of a write at `time`, nil for none. A lifetime given by the caller stays with the
-- conversation, 0 pins it; else the one of the index counts.
local function deadline_of(stored, time, lifetime, default)
  lifetime = tonumber(lifetime) or stored.ttl or tonumber(default) or 0
  if lifetime > 0 then return time + lifetime end
end

local function list_at(score)
  redis.call('ZADD', recent, score, id)
  if owned then redis.call('ZADD', owned, score, id) end
end

local function list_deadline(deadline)
  if deadline then redis.call('ZADD', expiry, deadline, id) else redis.call('ZREM', expiry, id) end
end

-- Put the conversation into the orders. Returns the time of the write (nil: unknown) and the
-- deadline, for `note`. A write that changes nothing but the form `keeps` them.
local function place(stored, lifetime, default, keeps)
  -- Fails on a key of another type, which the write would replace.
  if not stored.count then redis.call('LLEN', runs) end
  local time = clock()
  local score, deadline = time, deadline_of(stored, time, lifetime, default)
  if keeps == '1' then
    time, deadline = stored.updated, stored.expires
    score = redis.call('ZSCORE', recent, id)
  end
  if score then list_at(score) end
  -- Those of a conversation that others deleted. Behind a DEL, a full server would not refuse.
  if not stored.exists then redis.call('UNLINK', checkpoints) end
  if deadline or stored.expires then list_deadline(deadline) end
  return time, deadline
end

-- Fields expire from Redis 7.4 on. A plain HSET by another program drops that time, which tells
-- whether a long document, which always has one, was overwritten.
local function expire(stored, deadline, size)
  local time = deadline or size > LONG and NEVER
  if time then
    redis.pcall('HPEXPIREAT', content, time, 'FIELDS', 1, id)
  elseif stored.expires then
    redis.pcall('HPERSIST', content, 'FIELDS', 1, id)
  end
  if deadline then
    redis.pcall('PEXPIREAT', runs, deadline)
    redis.pcall('PEXPIREAT', checkpoints, deadline)
  elseif stored.expires then
    redis.pcall('PERSIST', runs)
    redis.pcall('PERSIST', checkpoints)
  end
end

local function is_untouched()
  local times = redis.pcall('HPEXPIRETIME', content, 'FIELDS', 1, id)
  return not times.err and times[1] > 0
end

-- `indexed` of a record whose search documents are those of all runs. Foreign writes change `size`.
local function indexed_as(schema, version, size)
  return string.format('%s-%d-%d', schema, version, size)
end

-- Write `fields` of the record, and those that every write changes, with the proposed `title` if
-- none was set. Returns the new version.
local function note(stored, time, deadline, lifetime, fields, title)
  -- A conversation that is deleted and begun anew must not come by a version it had before.
  local version = (stored.known and stored.version or clock()) + 1
  local function set(field, value)
    fields[#fields + 1], fields[#fields + 2] = field, value
  end
  set('version', version)
  if time then set('updated', time) end
  if deadline or stored.expires then set('expires', deadline or '') end
  if not stored.exists then set('created', time) end
  if owned then set('owner', owner) end
  if lifetime ~= '' then set('ttl', lifetime) end
  if title and title ~= '' and not stored.titled then set('title', title) end
  if stored.schema then
    set('indexed', indexed_as(stored.schema, version, stored.written))
  elseif stored.token then  -- a writer without SEARCH, or of one run among others without documents
    redis.pcall('SADD', stale, stored.token)
  end
  redis.call('HSET', record, unpack(fields))
  return version
end

-- For scripts that compare, whose ARGV has behind id and owner the version ('' any), the length of
-- the field ('' any, -1 absent) and its SHA-1 ('' any) that the caller has read: {'changed'} if
-- they are others; {'digest'} if nothing but a digest of the long document can tell; or nil.
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

-- Layout `list`: `ids` holds for the last runs the digests of their ids, 8 bytes each, so that an
-- append that is repeated finds them. In layout `hash`, the document tells.
local function place_in(known, digest)
  local place = 0
  repeat
    place = known:find(digest, place + 1, true)
  until not place or place % 8 == 1
  return place
end

local function remember(known, digests)
  local most, new = math.max(KNOWN, #digests), table.concat(digests)
  if known ~= '' and #known + #new <= 12 * most then  -- Lua is slow at making long strings
    redis.call('APPEND', ids, new)
    redis.call('PEXPIRE', ids, IDS)
  elseif new ~= '' then
    redis.call('SET', ids, (known .. new):sub(-8 * most), 'PX', IDS)
  end
end
