-- Before the HSET of a document, in the same MULTI: may it be written? If so, write what goes with
-- it.
--
-- The document is no argument of a script, because Lua copies it three times: 126 us of server time
-- for 100 kB instead of 12. A plain HSET writes it, and that cannot be made conditional; so a
-- refusal puts what stands in the field aside, and finish.lua puts it back. Nobody sees what is
-- between. Any error on the way to an answer (a key of another type, a command that an ACL forbids)
-- is a refusal too.
--
-- ARGV  id, owner, version ('' any), length ('' any, -1 absent), SHA-1 ('' any), number of runs,
--       seal, lifetime, default lifetime, length of the document
-- Returns the new version, or why not: {'owner', its owner}, {'changed'} or the error.
local function attempt()
  local exists = alive()
  local other = other_owner(exists)
  if other then return {'owner', other} end
  if ARGV[3] ~= '' and (number('version') or 0) ~= tonumber(ARGV[3]) then return {'changed'} end
  local size = exists and redis.call('HSTRLEN', content, id) or -1
  if ARGV[4] ~= '' and size ~= tonumber(ARGV[4]) then return {'changed'} end
  if ARGV[5] ~= '' and redis.sha1hex(redis.call('HGET', content, id)) ~= ARGV[5] then
    return {'changed'}
  end
  local time, deadline = place(ARGV[8], ARGV[9])
  redis.call('DEL', runs)  -- of the layout `list`, if it was one
  return note(exists, time, deadline, ARGV[8],
    {'runs', ARGV[6], 'seal', ARGV[7], 'bytes', ARGV[10]})
end

local fine, answer = pcall(attempt)
if type(answer) == 'number' then return answer end
local document = redis.call('HMGET', content, id)[1]
redis.call('HSET', aside, document and 'document' or 'absent', document or 1)
if fine or type(answer) == 'table' then return answer end
return redis.error_reply(answer)
