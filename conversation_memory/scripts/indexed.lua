-- needs: common
--
-- The search documents that a conversation has, according to its record and to Redis.
--
-- KEYS  content, record, root
-- ARGV  id
-- Returns {`indexed` of the record, facets, suffixes of the documents that exist, version, bytes of the
-- field, bytes of the runs, 1 if no document is missing and the token and tag are right}. A token
-- that belongs to another conversation counts as none.
local content, record, root = unpack(KEYS)
local id = ARGV[1]
local token, indexed, facets, owner, tag, version, runs, bytes = unpack(redis.call('HMGET', record,
  'token', 'indexed', 'facets', 'owner', 'tag', 'version', 'runs', 'bytes'))
local size = redis.call('HSTRLEN', content, id)
if not token or redis.call('HGET', root .. 'tokens', token) ~= id then
  return {'', '', {}, version or '', size, bytes or '', 0}
end

local suffixes = tolerant('SMEMBERS', root .. 'documents:' .. token) or {}
local function key_of(suffix) return root .. 'run:' .. token .. ':' .. suffix end

local function count(first, last)
  local keys = {}
  for i = first, last do keys[#keys + 1] = key_of(suffixes[i]) end
  return redis.call('EXISTS', unpack(keys))
end

local found = 0
for first = 1, #suffixes, 1000 do
  found = found + count(first, math.min(first + 999, #suffixes))
end
local intact = found == #suffixes and (found > 0 or (number(runs) or 0) == 0)
if found < #suffixes then
  local there = {}
  for _, suffix in ipairs(suffixes) do
    if redis.call('EXISTS', key_of(suffix)) == 1 then there[#there + 1] = suffix end
  end
  suffixes = there
end
local named = owner and owner ~= '' and redis.call('HGET', root .. 'owners', owner) or ''
intact = intact and named == (tag or '')
return {indexed or '', facets or '', suffixes, version or '', size, bytes or '', intact and 1 or 0}
