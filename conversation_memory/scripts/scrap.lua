-- needs: conversation
--
-- Delete a conversation of which a key may have another type, so that no other script can read it.
--
-- ARGV  id, owner, whose it may be: 'any', 'own' of that owner only; whether to only ask
-- Returns {conversations, runs, bytes}, all 0 if there is nothing (of that owner).
local kind = redis.call('TYPE', record).ok
-- Where the record cannot be read, the place in the order of the owner is all that tells whose it is.
local function is_theirs()
  if kind == 'hash' then return redis.call('HGET', record, 'owner') == owner end
  return owned and redis.call('ZSCORE', owned, id)
end

local theirs = ARGV[3] == 'any' or is_theirs()
local size = redis.call('HSTRLEN', content, id)
local exists = redis.call('HEXISTS', content, id) == 1 or redis.call('EXISTS', record, runs) > 0
if ARGV[4] == '0' then
  if theirs then
    redis.call('HDEL', content, id)
    if kind ~= 'hash' then redis.call('DEL', record) end
    forget()
  else
    disown()
  end
end
if not (theirs and exists) then return {0, 0, 0} end
return {1, 0, size}
