-- needs: conversation
--
-- Delete a conversation that may have a key of another type, which no other script can read.
--
-- ARGV  id, owner, whose it may be: 'any', 'own' of that owner only; whether to only ask
-- Returns {conversations, runs, bytes}, all 0 if there is nothing (of that owner).
local kind = redis.call('TYPE', record).ok
-- If the record cannot be read, only the recency index of the owner tells whose it is.
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
