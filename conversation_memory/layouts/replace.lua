-- Layout `list`: put the runs that the same MULTI has pushed to `aside` in the place of the runs.
--
-- ARGV  id, owner, version ('' any), length of the field ('' any, -1 absent),
--       document without runs, seal, ids to remember, lifetime, default lifetime, bytes of runs
-- Returns the new version, or why not: {'owner', its owner} or {'changed'}.
local function refusal()
  local exists = alive()
  local other = other_owner(exists)
  if other then return {'owner', other} end
  if ARGV[3] ~= '' and (redis.call('HGET', record, 'version') or '0') ~= ARGV[3] then
    return {'changed'}
  end
  local size = exists and redis.call('HSTRLEN', content, id) or -1
  if ARGV[4] ~= '' and size ~= tonumber(ARGV[4]) then return {'changed'} end
  redis.call('HSET', content, id, ARGV[5])
  if not exists then born() end
end

local done, why = pcall(refusal)
if why or not done then
  redis.call('DEL', aside)
  return type(why) == 'table' and why or {err = tostring(why)}
end
redis.call('DEL', runs)
if redis.call('EXISTS', aside) == 1 then redis.call('RENAME', aside, runs) end
redis.call('HSET', record, 'ids', ARGV[7], 'bytes', ARGV[10])
return touch(redis.call('LLEN', runs), ARGV[6], ARGV[8], ARGV[9])
