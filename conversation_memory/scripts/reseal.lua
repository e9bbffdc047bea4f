-- needs: conversation, documents, unindex, resealed
-- Encrypt the title and the open runs of a conversation anew, if they are those that were read.
-- Without SEARCH, its search documents are deleted.
-- ARGV  id, owner, what resealed.lua says
-- Returns 1, a refusal (conversation.lua, forgets.lua), or {'changed'}.
local stored, refused = enter()
if refused then return refused end
if not stored.exists then return 0 end
refused = unnamed()
if refused then return refused end
local map = map_of(3, #ARGV)
local title = map[in_place('title', redis.call('HGET', record, 'title') or '')]
local fields, streams = replies_anew(map)
if not title or not fields then return {'changed'} end
refused = not keeps(stored) and unswept(stored)
if refused then return refused end
put_replies(fields, streams)
if not keeps(stored) then unindex(stored) end
if title ~= '' then redis.call('HSET', record, 'title', title) end
return answer(1)
