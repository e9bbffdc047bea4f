-- Layout `hash`: may the document be written? If so, write what goes with it.
--
-- ARGV  id, owner, version ('' any), length ('' any, -1 absent), SHA-1 ('' any), number of runs,
--       seal, lifetime, default lifetime, length of the document, change of search documents
-- Returns the new version, or why not: a refusal (prelude.lua), {'changed'}, or {'documents'} if some
-- are missing.
local function permit()
  local stored = open()
  local refused = refusal(stored)
  if refused then return refused end
  if has_changed(stored) then return {'changed'} end
  local change = change_of(stored, ARGV[11])
  if lacks(stored, change) then return {'documents'} end
  local time, deadline = place(stored, ARGV[8], ARGV[9])
  -- Not before: once a script has written, full memory is no reason to refuse it.
  redis.call('DEL', aside)  -- what is left of another time
  if not stored.seal:find('^%d') then redis.call('DEL', runs) end  -- if it was a `list`
  local fields = {'runs', ARGV[6], 'seal', ARGV[7], 'bytes', ARGV[10]}
  index(stored, change, time, ARGV[10], fields)
  return note(stored, time, deadline, ARGV[8], fields)
end
