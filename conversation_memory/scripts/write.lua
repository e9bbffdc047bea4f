-- needs: conversation, expected, documents
--
-- Layout `hash`: write a document.
--
-- ARGV  id, owner, version ('' any), length ('' any, -1 absent), SHA-1 ('' any), number of runs,
--       seal, lifetime, default lifetime, change of search documents, 1 to keep the times (conversation.lua),
--       document
-- Returns the new version, or why not: a refusal (conversation.lua), {'changed'}, {'digest'}, or
-- {'documents'} if some are missing.
local stored, refused = enter()
refused = refused or difference(stored)
if refused then return refused end
local change = change_of(stored, ARGV[10])
if lacks(stored, change) then return {'documents'} end
local size = #ARGV[12]
local time, deadline = place(stored, ARGV[8], ARGV[9], ARGV[11])
redis.call('HSET', content, id, ARGV[12])
if not stored.seal:find('^%d') then redis.call('DEL', runs, ids) end  -- if it was a `list`
expire(stored, deadline, size)
local fields = {'runs', ARGV[6], 'seal', ARGV[7], 'bytes', size}
index(stored, change, time, size, fields)
return answer(note(stored, time, deadline, ARGV[8], fields))
