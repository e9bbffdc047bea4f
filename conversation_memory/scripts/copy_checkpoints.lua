-- needs: conversation
-- Copy the checkpoints of another conversation, which has none yet.
-- KEYS  ... , checkpoints of the other one, last
-- ARGV  id, owner
-- Returns 1, 0 if there are none, or a refusal (conversation.lua).
local stored, refused = enter()
if refused then return refused end
if not stored.exists then return 0 end
local copied = redis.call('COPY', KEYS[#KEYS], checkpoints, 'REPLACE')
expire(stored, stored.expires, stored.size)
return copied
