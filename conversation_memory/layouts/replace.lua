-- Layout `list`: put the runs that the same MULTI has pushed to `aside` in the place of the runs.
--
-- ARGV  id, owner, version ('' any), length of the field ('' any, -1 absent), its SHA-1 ('' any),
--       document without runs, seal, ids to remember, lifetime, default lifetime, bytes of runs
-- Returns the new version, or why not: a refusal (prelude.lua) or {'changed'}.
local function attempt()
  local stored = open()
  local refused = refusal(stored)
  if refused then return refused end
  if has_changed(stored) then return {'changed'} end
  local count = redis.call('LLEN', aside)
  need('zadd', 'del', 'rename', 'hset')
  local time, deadline = place(stored, ARGV[9], ARGV[10])
  if count > 0 then redis.call('RENAME', aside, runs) else redis.call('DEL', runs) end
  redis.call('HSET', content, id, ARGV[6])
  expire(stored, deadline)
  return note(stored, time, deadline, ARGV[9],
    {'runs', count, 'seal', ARGV[7], 'ids', ARGV[8], 'bytes', ARGV[11]})
end

local fine, answer = pcall(attempt)
if type(answer) == 'number' then return answer end
redis.call('DEL', aside)
if fine or type(answer) == 'table' then return answer end
return redis.error_reply(answer)
