-- needs: conversation, documents, unindex
-- Write a document over what is stored, in the form of either layout.
-- ARGV  id, owner, what difference() compares, field, lifetime, default lifetime, change of search
--       documents, 1 to keep the times (conversation.lua), title ('' none), how many fields and
--       values of the record ('layout' first), how many texts of runs, 'kept' for those that are in
--       the list, or 'staged N' for N in the key behind those of every script; then the former, the
--       texts, and what tells the last of them
-- Returns the new version, a refusal, {'changed'}, {'digest'}, or {'documents'} if some are
-- missing.
local stored, refused = enter()
local layout = ARGV[15]
refused = refused or unsealed(stored, layout) or difference(stored)
if refused then return refused end
local runs_kept, staged = ARGV[13] == 'kept', tonumber(ARGV[13]:match('^staged (%d+)$'))
local stage = KEYS[owner == '' and 10 or 11]
if runs_kept and stored.layout ~= layout then return {'changed'} end
if staged and redis.call('LLEN', stage) ~= staged then return {'changed'} end
local change = change_of(stored, ARGV[9])
if lacks(stored, change) then return {'documents'} end
local is_unindexed = is_sealed(layout) and not keeps(stored) and not (change and change.all)
refused = is_unindexed and unswept(stored)
if refused then return refused end
local field, count, first = ARGV[6], tonumber(ARGV[13]) or 0, 14 + ARGV[12]
local fields = {unpack(ARGV, 14, first - 1)}
local time, deadline = place(stored, ARGV[7], ARGV[8], ARGV[10])
if is_unindexed then unindex(stored) end
local has_list = is_list_form(layout) or not stored.layout or is_list_form(stored.layout)
if has_list and not runs_kept then redis.call('UNLINK', runs, ids) end
if is_sealed(layout) and not runs_kept then redis.call('UNLINK', ids) end
if stored.layout and stored.layout ~= layout then redis.call('HDEL', record, 'end', 'bytes') end
for i = first, first + count - 1, MANY do
  redis.call('RPUSH', runs, unpack(ARGV, i, math.min(i + MANY, first + count) - 1))
end
if staged then
  redis.call('PERSIST', stage)
  redis.call('RENAME', stage, runs)
end
redis.call('HSET', content, id, field)
-- Whoever converts an index of old conversations would fill the memory with ids for an hour.
if ARGV[10] ~= '1' or (stored.updated or 0) > clock() - IDS then
  remember('', {unpack(ARGV, first + count)})
end
expire(stored, deadline, #field)
index(stored, change, time, #field, fields)
return answer(note(stored, time, deadline, ARGV[7], fields, ARGV[11]))
