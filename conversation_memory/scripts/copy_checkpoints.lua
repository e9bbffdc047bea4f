-- needs: hash_anew
-- Copy the checkpoints of another conversation to one that has none yet.
-- KEYS  ... , checkpoints of the other one, last
-- ARGV  id, owner, how; then, if that is 'anew', those for this conversation (hash_anew.lua); if
--       'elsewhere', as the other one is in another slot, their fields and values: without its key
-- Returns 1, 0 if there are none, -1 if it has some, {'changed'}, or a refusal (conversation.lua).
local stored, refused = enter()
if refused then return refused end
if not stored.exists then return 0 end
if redis.call('EXISTS', checkpoints) == 1 then return -1 end
local copied
if ARGV[3] == 'elsewhere' then
  put_hash(checkpoints, ARGV, 4)
  copied = #ARGV > 3 and 1 or 0
elseif ARGV[3] == 'anew' then
  local anew = hash_anew(KEYS[#KEYS], 4)
  if not anew then return {'changed'} end
  put_hash(checkpoints, anew, 1)
  copied = #anew > 0 and 1 or 0
else
  copied = redis.call('COPY', KEYS[#KEYS], checkpoints)
end
expire(stored, stored.expires, stored.size)
return answer(copied)
