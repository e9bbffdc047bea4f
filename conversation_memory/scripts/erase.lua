-- needs: forgets
-- Erase a conversation, expired or not, also one with a key of another type, which no other script
-- can read; or only count it. One of somebody else leaves the order of the owner.
-- ARGV  id, owner, whose it may be ('own' of that owner, 'any', 'none'), 1 to erase
-- Returns {conversations, runs, bytes}, all 0 if there is nothing (of that owner); or a refusal
-- (forgets.lua).
local before = redis.call('GET', call)
if before then return cmsgpack.unpack(before) end
local fields = tolerant('HMGET', record, 'owner', 'version', 'runs', 'bytes') or {}
local is_lost = not (fields[1] or fields[2])
-- If the record is lost, only the recency index of the owner tells whose it is.
local theirs = ARGV[3] == 'any' or ARGV[3] == 'own' and (fields[1] == owner
  or is_lost and owned and tolerant('ZSCORE', owned, id))
local exists = redis.call('HEXISTS', content, id) == 1 or redis.call('EXISTS', record, runs) > 0
local erased = {0, 0, 0}
if theirs and exists then
  local size, length = redis.call('HSTRLEN', content, id), tolerant('LLEN', runs) or 0
  erased = {1, size > 0 and number(fields[3]) or 0, size}
  if length > 0 then erased = {1, length, size + (number(fields[4]) or 0)} end
end
if ARGV[4] ~= '1' then return erased end
local refused = theirs and unnamed()
if refused then return refused end
check_orders()
if theirs then
  if tolerant('HLEN', record) == nil then redis.call('UNLINK', record) end
  forget()
else
  disown()
end
answer(cmsgpack.pack(erased))
return erased
