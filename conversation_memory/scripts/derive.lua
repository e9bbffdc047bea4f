-- needs: conversation, documents
-- Write what is derived from a conversation: search documents, or record and orders.
-- ARGV  id, owner, what difference() compares, change of the search documents ('' none), time of
--       runs without one, elements of the list, then fields of the record and their values
-- Returns how many documents were written (1 without a change of them), after a step that is not the
-- last one `indexed`; a refusal (conversation.lua), {'changed'}, or {'documents'} if some are missing
-- or if `indexed` is another.
local stored = open()
local refused = not stored.past and refusal(stored) or not stored.exists and 0 or difference(stored)
if refused then return refused end
local change, fields = change_of(stored, ARGV[6]), {unpack(ARGV, 9)}
if lacks(stored, change) then return {'documents'} end
if change then
  index(stored, change, ARGV[7], stored.size, fields)
  if stored.schema then
    fields[#fields + 1] = 'indexed'
    fields[#fields + 1] = indexed_as(stored.schema, stored.version, stored.size)
  end
  if #fields > 0 then redis.call('HSET', record, unpack(fields)) end
  return change.step and redis.call('HGET', record, 'indexed') or #change.documents
end
if redis.call('LLEN', runs) ~= tonumber(ARGV[8]) then return {'changed'} end
list_at(stored.updated or tonumber(redis.call('ZSCORE', recent, id) or nil) or clock())
list_deadline(stored.expires)
-- No version: where there is none, erase.lua asks the orders of the owners.
if #fields > 0 then redis.call('HSET', record, unpack(fields)) end
return 1
