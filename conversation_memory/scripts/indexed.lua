-- needs: common
-- The search documents that a conversation has, according to its record and to Redis; or some of many.
-- KEYS  content, record, root
-- ARGV  id, cursor ('' to begin)
-- Returns {`indexed` of the record, facets, suffixes of the documents that exist, version, bytes of
-- the field, bytes of the runs, 1 if no document is missing, 1 if the tag is right, next cursor ('0' at
-- the end)}. A token that belongs to another conversation counts as none.
local LOOKED_AT = 500  -- documents at once
local content, record, root = unpack(KEYS)
local id, cursor = ARGV[1], ARGV[2]
local token, indexed, facets, owner, tag, version, runs, bytes = unpack(redis.call('HMGET', record,
  'token', 'indexed', 'facets', 'owner', 'tag', 'version', 'runs', 'bytes'))
local size = redis.call('HSTRLEN', content, id)
if not token or redis.call('HGET', root .. 'tokens', token) ~= id then
  return {'', '', {}, version or '', size, bytes or '', 0, 0, '0'}
end
local registry, there = root .. 'documents:' .. token, {}
local is_whole = cursor == '' and (tolerant('SCARD', registry) or 0) <= LOOKED_AT
local suffixes = is_whole and tolerant('SMEMBERS', registry) or {}
if is_whole then
  cursor = '0'
else
  cursor = cursor == '' and '0' or cursor
  cursor, suffixes = unpack(tolerant('SSCAN', registry, cursor, 'COUNT', LOOKED_AT) or {'0', {}})
end
for _, suffix in ipairs(suffixes) do
  if redis.call('EXISTS', root .. 'run:' .. token .. ':' .. suffix) == 1 then
    there[#there + 1] = suffix
  end
end
local has_runs = not is_whole or #there > 0 or (number(runs) or 0) == 0
local named = owner and owner ~= '' and redis.call('HGET', root .. 'owners', owner) or ''
return {indexed or '', facets or '', there, version or '', size, bytes or '',
  #there == #suffixes and has_runs and 1 or 0, named == (tag or '') and 1 or 0, cursor}
