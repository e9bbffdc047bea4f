-- Before the HSET of a document, in the same MULTI: may it be written?
--
-- The document is no argument of a script, because Lua copies it three times (5 us a kB on the
-- server). A plain HSET writes it, and cannot be made conditional; so a refusal puts what stands
-- in the field aside, and commit.lua puts it back. Nobody sees what is between.
--
-- KEYS  content, record, aside
-- ARGV  id, owner ('' none), version ('' any), length ('' any, -1 absent)
-- Returns 0, or why not: {'owner', its owner} or {'changed'}; or the error of a wrong key.
local content, record, aside = KEYS[1], KEYS[2], KEYS[3]
local id, owner, version, length = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local function refusal()
  local stored = redis.pcall('HMGET', record, 'owner', 'version')
  if stored.err then return stored end
  local size = redis.pcall('HSTRLEN', content, id)
  if type(size) == 'table' then return size end
  local found = size > 0 or redis.call('HEXISTS', content, id) == 1
  if (found or stored[2]) and (stored[1] or '') ~= owner then return {'owner', stored[1] or ''} end
  if version ~= '' and (stored[2] or '0') ~= version then return {'changed'} end
  if length ~= '' and (found and size or -1) ~= tonumber(length) then return {'changed'} end
  if not found then
    local now = redis.call('TIME')
    redis.call('HSET', record, 'created', now[1] * 1000 + math.floor(now[2] / 1000))
  end
end

local why = refusal()
if not why then return 0 end
local document = redis.pcall('HGET', content, id)
if type(document) == 'string' then
  redis.call('HSET', aside, 'document', document)
else
  redis.call('HSET', aside, 'absent', 1)
end
return why
