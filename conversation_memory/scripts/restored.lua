-- needs: common
-- Restore a conversation where there is none. Its arguments, from ARGV[first] on:
--   id, score ('' none, 'now'), deadline ('' none), field, number of runs in the list, of how many
--   the ids are kept, number of fields and values of the record, then all of those
-- The keys: content, recent, expiry, and of the conversation record, runs, ids, order of its owner.
local function restore(content, recent, expiry, record, runs, ids, owned, first)
  local id, score, deadline, field, count, known, facts = unpack(ARGV, first, first + 6)
  local now, texts = clock(), first + 7
  if score == 'now' then score = now end
  if score ~= '' then
    redis.call('ZADD', recent, score, id)
    if owned then redis.call('ZADD', owned, score, id) end
  end
  if deadline ~= '' then redis.call('ZADD', expiry, deadline, id) end
  for i = texts, texts + count - 1, MANY do
    redis.call('RPUSH', runs, unpack(ARGV, i, math.min(i + MANY, texts + count) - 1))
  end
  if tonumber(known) > 0 then
    local told = table.concat({unpack(ARGV, texts + count, texts + count + known - 1)})
    redis.call('SET', ids, told, 'PX', 3600000)
  end
  redis.call('HSET', content, id, field)
  if deadline ~= '' then
    redis.pcall('HPEXPIREAT', content, deadline, 'FIELDS', 1, id)
    redis.pcall('PEXPIREAT', runs, deadline)
  end
  if tonumber(facts) > 0 then
    -- What is begun anew must not come by a version it had before: see conversation.lua.
    redis.call('HSET', record, 'version', now + 1,
      unpack(ARGV, texts + count + known, texts + count + known + facts - 1))
  end
  if ARGV[first + 1] == 'now' then redis.call('HSET', record, 'created', now, 'updated', now) end
end
