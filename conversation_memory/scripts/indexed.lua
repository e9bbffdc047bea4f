-- needs: common
-- The search documents that a conversation has, according to its record and to Redis.
-- KEYS  content, record, root
-- ARGV  id
-- Returns {`indexed` of the record, facets, suffixes of the documents that exist, version, bytes of
-- the field, bytes of the runs, 1 if no document is missing and the token and tag are right}. A
-- token that belongs to another conversation counts as none.
local content, record, root = unpack(KEYS)
local id = ARGV[1]
local token, indexed, facets, owner, tag, version, runs, bytes = unpack(redis.call('HMGET', record,
  'token', 'indexed', 'facets', 'owner', 'tag', 'version', 'runs', 'bytes'))
local size = redis.call('HSTRLEN', content, id)
if not token or redis.call('HGET', root .. 'tokens', token) ~= id then
  return {'', '', {}, version or '', size, bytes or '', 0}
end
local suffixes, there = tolerant('SMEMBERS', root .. 'documents:' .. token) or {}, {}
for _, suffix in ipairs(suffixes) do
  if redis.call('EXISTS', root .. 'run:' .. token .. ':' .. suffix) == 1 then
    there[#there + 1] = suffix
  end
end
local is_complete = #there == #suffixes and (#there > 0 or (number(runs) or 0) == 0)
local named = owner and owner ~= '' and redis.call('HGET', root .. 'owners', owner) or ''
local intact = is_complete and named == (tag or '')
return {indexed or '', facets or '', there, version or '', size, bytes or '', intact and 1 or 0}
