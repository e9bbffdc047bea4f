-- needs: conversation, documents
--
-- Update the search documents of a conversation, which itself stays as it is.
--
-- ARGV  id, owner, version ('' any), length of the field ('' any, -1 absent), its SHA-1 ('' any),
--       change of the documents (documents.lua), time of runs without a document
-- Returns how many documents were written, a refusal (conversation.lua), {'changed'} if the conversation
-- was changed meanwhile, or {'documents'} if `change` lacks some.
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
