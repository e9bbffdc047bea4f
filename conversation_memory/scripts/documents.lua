-- After conversation.lua: the change of the search documents by a write, in the same step. The
-- change is one packed argument, '' without SEARCH, from search_index/run_documents.py:
--   {schema, token for a conversation without one, tag for an owner without one, 1 with EMBED,
--    documents, suffixes of removed documents [, suffixes of all documents afterwards, facets]}
-- Where these are many, they are written in steps, each of which has '' instead of all suffixes, and the
-- last one, which writes none, their number. Then comes `indexed` as the caller has seen it, unless the
-- same call writes the runs. Until the last step, the token is stale.
-- A document is {suffix, suffixes of those of which it keeps the time or '', field, value, ...},
-- without the last value if the script has it. Facets are the packed fields and values that the metadata
-- adds to every document; a field of the document itself comes later in the HSET, and so wins.
local SUFFIX = ('%x'):rep(16)

-- True if the documents of a conversation that gets encrypted may stay: they were made for that.
local function keeps(stored) return is_sealed(stored.layout) end

local function known_suffixes(token)
  return token and tolerant('SMEMBERS', root .. 'documents:' .. token) or {}
end

-- The schema of the documents, if they were those of all runs.
local function schema_of(stored)
  local schema = (stored.indexed or ''):match('^%x+')
  return schema and stored.indexed == indexed_as(schema, stored.version, stored.size) and schema
end

-- An unused token. A call that is sent again proposes the same token, perhaps for another id, and
-- if two conversations shared a token, deleting one would delete the documents of both.
local function free_token(token)
  while redis.call('HSETNX', root .. 'tokens', token, id) == 0 do
    token = redis.sha1hex(token .. id .. clock()):sub(1, 16)
  end
  return token
end

-- The argument as a table with named fields, nil without SEARCH.
local function change_of(stored, given)
  if given == '' then return nil end
  local schema, token, tag, embeds, documents, gone, all, facets, seen = unpack(cmsgpack.unpack(given))
  if all and stored.exists and stored.token then
    redis.call('HSETNX', root .. 'tokens', stored.token, id)  -- if the entry was lost
    if redis.call('HGET', root .. 'tokens', stored.token) ~= id then
      stored.token, stored.indexed = false, false
    end
  end
  local kind, is_current = type(all), all or not stored.exists or schema_of(stored) == schema
  return {
    schema = schema, token = token, tag = tag, embeds = embeds == 1, documents = documents,
    gone = gone, all = kind == 'table' and all, step = kind == 'string',
    count = kind == 'number' and all, seen = seen, current = is_current, balance = 0,
    facets = facets or stored.exists and stored.facets or '',
  }
end

-- True if a change of all documents lacks some; existing ones of its schema and facets count.
local function lacks(stored, change)
  if change and change.seen then
    local registry = root .. 'documents:' .. (stored.token or '')
    return change.seen ~= (stored.indexed or '')
      or change.count and change.count ~= tolerant('SCARD', registry)
  end
  if not (change and change.all) then return false end
  local there = {}
  local schema = (stored.indexed or ''):match('^%x+')
  if stored.exists and schema == change.schema and change.facets == stored.facets then
    for _, suffix in ipairs(known_suffixes(stored.token)) do there[suffix] = true end
  end
  for _, document in ipairs(change.documents) do there[document[1]] = true end
  for _, suffix in ipairs(change.all) do
    if not there[suffix] then return true end
  end
  return false
end

-- The tag of an owner in documents: random, so that it is meaningless once the owner is erased. A
-- call that is sent again proposes the same one, perhaps for another owner.
local function tag_of(whose, fresh)
  if whose == '' then return '' end
  local tag = redis.call('HGET', root .. 'owners', whose)
  if tag then return tag end
  tag = redis.sha1hex(fresh .. whose .. clock()):sub(1, 16)
  redis.call('HSET', root .. 'owners', whose, tag)
  return tag
end

local TAGGED = 80  -- documents that get another tag at once: RediSearch indexes each one anew

local function mark(token, tag, suffixes)
  for _, suffix in ipairs(suffixes) do
    local key = root .. 'run:' .. token .. ':' .. suffix
    if redis.call('EXISTS', key) == 1 then
      if tag == '' then tolerant('HDEL', key, 'o') else tolerant('HSET', key, 'o', tag) end
    end
  end
end

-- Give all documents another tag. Returns the tag that they have. If they are many, retag.lua has to
-- do it, and they have none: '-', or what owner.lua has written if that has begun already.
local function retag(stored, tag)
  if tag == stored.tag then return tag end
  if (tolerant('SCARD', root .. 'documents:' .. stored.token) or 0) > TAGGED then
    return stored.tag:sub(1, 1) == '-' and stored.tag or '-'
  end
  mark(stored.token, tag, known_suffixes(stored.token))
  return tag
end

-- The set is derived data, so a key of another type is replaced.
local function register(token, suffix)
  local registry = root .. 'documents:' .. token
  local added = tolerant('SADD', registry, suffix)
  if added then return added end
  redis.call('UNLINK', registry)
  return redis.call('SADD', registry, suffix)
end

-- The facets of a record, which may be garbage.
local function unpacked(facets)
  local fine, parts = pcall(cmsgpack.unpack, facets)
  if facets == '' or not fine or type(parts) ~= 'table' or #parts % 2 == 1 then return {} end
  for _, part in ipairs(parts) do
    if type(part) ~= 'string' then return {} end
  end
  return parts
end

local function put(stored, change, document, time, facets)
  local prefix = root .. 'run:' .. stored.token .. ':'
  local key, since = prefix .. document[1], false
  if register(stored.token, document[1]) == 0 then
    since = tolerant('HGET', key, 't')
    redis.call('UNLINK', key)
  else
    for suffix in document[2]:gmatch(SUFFIX) do
      since = since or tolerant('HGET', prefix .. suffix, 't')
    end
    if redis.call('UNLINK', key) == 0 then change.balance = change.balance + 1 end
  end
  local call = {'HSET', key, 'c', stored.token, 't', since or time, 'o', change.tag}
  if change.tag == '' then call[#call], call[#call - 1] = nil, nil end
  for _, part in ipairs(facets) do call[#call + 1] = part end
  for i = 3, #document do call[#call + 1] = document[i] end
  redis.call(unpack(call))
  if change.embeds then redis.call('ZADD', root .. 'unembedded', time, key) end
end

local function drop(stored, change, suffix)
  local removed = tolerant('SREM', root .. 'documents:' .. stored.token, suffix) or 0
  change.balance = change.balance - removed
  redis.call('UNLINK', root .. 'run:' .. stored.token .. ':' .. suffix)
end

-- What `indexed` is between the steps, in which the documents are not those of all runs. Where the
-- former ones are of another schema or have other facets, it tells which ones replace them, and anew
-- whenever somebody begins with others.
local function begun(stored, change, is_new, facets)
  redis.pcall('SADD', stale, stored.token)
  local known = stored.indexed or ''
  if is_new or schema_of(stored) == change.schema and facets == change.facets then
    return indexed_as(change.schema, 0, 0)
  end
  if known:match('^%x+') == change.schema and facets == change.facets then return known end
  local target = '0-' .. redis.sha1hex(change.schema .. change.facets):sub(1, 16) .. '-'
  return known:sub(1, #target) == target and known or target .. change.token
end

-- Make the change, of a field of `size` bytes afterwards; adds to `fields` and `stored` for `note`.
local function index(stored, change, time, size, fields)
  if not change then return end
  local before = {
    token = stored.token, tag = stored.tag, facets = stored.facets, indexed = stored.indexed,
  }
  if stored.token and not stored.exists then  -- another program deleted the conversation
    unregister(stored.token)
    stored.token = false
  end
  local is_new = not stored.token
  local is_all = change.all or change.step or change.count
  if is_new and stored.exists and not is_all and #change.documents == 0 then return end
  if is_new then stored.token = free_token(change.token) end
  change.tag = tag_of(owner, change.tag)
  stored.tag = is_new and change.tag or retag(stored, change.tag)
  local facets = unpacked(change.facets)
  for _, document in ipairs(change.documents) do put(stored, change, document, time, facets) end
  for _, suffix in ipairs(change.gone) do drop(stored, change, suffix) end
  if change.all and not is_new then
    local wanted = {}
    for _, suffix in ipairs(change.all) do wanted[suffix] = true end
    for _, suffix in ipairs(known_suffixes(stored.token)) do
      if not wanted[suffix] then drop(stored, change, suffix) end
    end
  end
  if change.balance ~= 0 then
    redis.call('HINCRBY', root .. 'search', 'documents', change.balance)
  end
  local now = {token = stored.token, tag = stored.tag, facets = change.facets}
  if change.step then
    now.indexed = begun(stored, change, is_new, before.facets)
  elseif stored.tag ~= change.tag then
    redis.pcall('SADD', stale, stored.token)
  elseif change.current then
    stored.schema, stored.written = change.schema, size
  elseif schema_of(stored) then  -- still a document for each run, but of several schemas
    stored.schema, stored.written = '0', size
  end
  if is_all and stored.schema then redis.call('SREM', stale, stored.token) end
  for field, value in pairs(now) do
    if value ~= before[field] then fields[#fields + 1], fields[#fields + 2] = field, value end
  end
end
