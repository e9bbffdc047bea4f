-- Before the HSET of a document, in the same MULTI: may it be written?
--
-- The document is no argument of a script, because Lua copies it three times: 126 us of server time
-- for 100 kB instead of 12. A plain HSET writes it, and that cannot be made conditional; so a
-- refusal puts what stands in the field aside, and commit.lua puts it back. Nobody sees what is
-- between.
--
-- ARGV  id, owner, version ('' any), length ('' any, -1 absent)
-- Returns 0, or why not: {'owner', its owner} or {'changed'}; or the error of a wrong key.
local version, length = ARGV[3], ARGV[4]

local function refusal()
  local exists = alive()
  local other = other_owner(exists)
  if other then return {'owner', other} end
  if version ~= '' and (redis.call('HGET', record, 'version') or '0') ~= version then
    return {'changed'}
  end
  local size = exists and redis.call('HSTRLEN', content, id) or -1
  if length ~= '' and size ~= tonumber(length) then return {'changed'} end
  if not exists then born() end
end

local done, why = pcall(refusal)
if done and not why then return 0 end
local document = redis.pcall('HGET', content, id)
if type(document) == 'string' then
  redis.call('HSET', aside, 'document', document)
else
  redis.call('HSET', aside, 'absent', 1)
end
if not done and type(why) ~= 'table' then why = {err = tostring(why)} end
return why
