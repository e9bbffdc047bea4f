-- needs: conversation, expected, documents
--
-- Bring the search documents of a conversation in step with it, which is not written to.
--
-- ARGV  id, owner, version ('' any), length of the field ('' any, -1 absent), its SHA-1 ('' any),
--       change of the documents (documents.lua), time of runs that have none yet
-- Returns how many documents were written, a refusal (conversation.lua), {'changed'} if the conversation
-- is another, or {'documents'} if some are missing.
local stored = open()
local refused = refusal(stored)
if refused then return refused end
if not stored.exists then return 0 end
local different = difference(stored)
if different then return different end
local change = change_of(stored, ARGV[6])
if lacks(stored, change) then return {'documents'} end
local fields = {}
index(stored, change, ARGV[7], stored.size, fields)
redis.call('HSET', record, 'indexed', indexed_as(stored.schema, stored.version, stored.size),
  unpack(fields))
return #change.documents
