-- Layout `list`: put the runs that the same MULTI has pushed to `aside` in the place of the runs.
--
-- ARGV  id, owner, version ('' any), length of the field ('' any, -1 absent), its SHA-1 ('' any),
--       document without runs, seal, ids to remember, lifetime, default lifetime, bytes of runs,
--       change of search documents
-- Returns the new version, or why not: a refusal (prelude.lua), {'changed'}, or {'documents'} if some
-- are missing.
local function attempt()
  local stored = open()
  local refused = refusal(stored)
  if refused then return refused end
  if has_changed(stored) then return {'changed'} end
  local change = change_of(stored, ARGV[12])
  if lacks(stored, change) then return {'documents'} end
  local count = redis.call('LLEN', aside)
  need('zadd', 'del', 'rename', 'hset')
  local time, deadline = place(stored, ARGV[9], ARGV[10])
  if count > 0 then redis.call('RENAME', aside, runs) else redis.call('DEL', runs) end
  redis.call('HSET', content, id, ARGV[6])
  expire(stored, deadline)
  local fields = {'runs', count, 'seal', ARGV[7], 'ids', ARGV[8], 'bytes', ARGV[11]}
  index(stored, change, time, #ARGV[6], fields)
  return note(stored, time, deadline, ARGV[9], fields)
end

local fine, answer = pcall(attempt)
if type(answer) == 'number' then return answer end
redis.call('DEL', aside)
if fine or type(answer) == 'table' then return answer end
return redis.error_reply(answer)
