-- needs: conversation, ids, expected, documents
--
-- Layout `list`: put other runs in the place of those that are there.
--
-- ARGV  id, owner, version ('' any), length of the field ('' any, -1 absent), its SHA-1 ('' any),
--       document without runs, seal, lifetime, default lifetime, bytes of runs, change of search
--       documents, 1 to keep the times (conversation.lua), number of runs, then the text of each and the digest
--       of each id
-- Returns the new version, or why not: a refusal (conversation.lua), {'changed'}, {'digest'}, or
-- {'documents'} if some are missing.
local stored, refused = enter()
refused = refused or difference(stored)
if refused then return refused end
local change = change_of(stored, ARGV[11])
if lacks(stored, change) then return {'documents'} end
local count, first = tonumber(ARGV[13]), 14
local time, deadline = place(stored, ARGV[8], ARGV[9], ARGV[12])
redis.call('DEL', runs, ids)
for i = first, first + count - 1, MANY do
  redis.call('RPUSH', runs, unpack(ARGV, i, math.min(i + MANY, first + count) - 1))
end
redis.call('HSET', content, id, ARGV[6])
-- Whoever converts an index of old conversations would fill the memory with ids for an hour.
if ARGV[12] ~= '1' or (stored.updated or 0) > clock() - IDS then
  local digests = {}
  for i = first + count, #ARGV do digests[#digests + 1] = ARGV[i] end
  if #digests > 0 then remember(digests) end
end
expire(stored, deadline, #ARGV[6])
local fields = {'runs', count, 'seal', ARGV[7], 'bytes', ARGV[10]}
index(stored, change, time, #ARGV[6], fields)
return answer(note(stored, time, deadline, ARGV[8], fields))
