-- needs: hash_anew
-- Copy the checkpoints of another conversation to one that has none yet.
-- KEYS  ... , checkpoints of the other one, last
-- ARGV  id, owner, 1 if they are encrypted; then those for this conversation (hash_anew.lua)
-- Returns 1, 0 if there are none, -1 if it has some, {'changed'}, or a refusal (conversation.lua).
local stored, refused = enter()
if refused then return refused end
if not stored.exists then return 0 end
if redis.call('EXISTS', checkpoints) == 1 then return -1 end
local copied
if ARGV[3] == '1' then
  local anew = hash_anew(KEYS[#KEYS], 4)
  if not anew then return {'changed'} end
  put_hash(checkpoints, anew)
  copied = #anew > 0 and 1 or 0
else
  copied = redis.call('COPY', KEYS[#KEYS], checkpoints)
end
expire(stored, stored.expires, stored.size)
return answer(copied)
