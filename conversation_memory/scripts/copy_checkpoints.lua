-- needs: conversation
-- Copy the checkpoints of another conversation to one that has none yet.
-- KEYS  ... , checkpoints of the other one, last
-- ARGV  id, owner
-- Returns 1, 0 if there are none, -1 if it has some, or a refusal (conversation.lua).
local stored, refused = enter()
if refused then return refused end
if not stored.exists then return 0 end
if redis.call('EXISTS', checkpoints) == 1 then return -1 end
local copied = redis.call('COPY', KEYS[#KEYS], checkpoints)
expire(stored, stored.expires, stored.size)
return answer(copied)
