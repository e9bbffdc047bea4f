-- needs: common
-- Restore conversations where there are none. `all` has of each the position of its first argument,
-- and the keys of its record, runs, ids and the order of its owner (false without one). The
-- arguments of each:
--   id, score ('' none, 'now'), deadline ('' none), field, number of runs in the list, number of
--   digests of their ids, number of fields and values of the record, then all of those
local function restore(content, recent, expiry, all)
  local now, scores, fields = clock(), {}, {}
  for _, it in ipairs(all) do
    local first, owned = it[1], it[5]
    local id, score, deadline = ARGV[first], ARGV[first + 1], ARGV[first + 2]
    if score == 'now' then score = now end
    if score ~= '' then scores[#scores + 1], scores[#scores + 2] = score, id end
    if score ~= '' and owned then redis.call('ZADD', owned, score, id) end
    if deadline ~= '' then redis.call('ZADD', expiry, deadline, id) end
    fields[#fields + 1], fields[#fields + 2] = id, ARGV[first + 3]
  end
  for i = 1, #scores, MANY do
    redis.call('ZADD', recent, unpack(scores, i, math.min(i + MANY - 1, #scores)))
  end
  for _, it in ipairs(all) do
    local first, _, runs, ids = unpack(it)
    local texts, digests = first + 7, {}
    local last = texts + ARGV[first + 4] - 1
    for i = texts, last, MANY do
      redis.call('RPUSH', runs, unpack(ARGV, i, math.min(i + MANY - 1, last)))
    end
    for i = last + 1, last + ARGV[first + 5] do
      digests[#digests + 1], digests[#digests + 2] = now, ARGV[i]
    end
    for i = 1, #digests, MANY do
      redis.call('ZADD', ids, unpack(digests, i, math.min(i + MANY - 1, #digests)))
    end
    if #digests > 0 then redis.call('PEXPIRE', ids, 3600000) end
  end
  for i = 1, #fields, MANY do
    redis.call('HSET', content, unpack(fields, i, math.min(i + MANY - 1, #fields)))
  end
  for _, it in ipairs(all) do
    local first, record, runs = unpack(it)
    local id, deadline = ARGV[first], ARGV[first + 2]
    if deadline ~= '' then
      redis.pcall('HPEXPIREAT', content, deadline, 'FIELDS', 1, id)
      redis.pcall('PEXPIREAT', runs, deadline)
    end
    local facts = first + 7 + ARGV[first + 4] + ARGV[first + 5]
    if ARGV[first + 6] ~= '0' then
      -- What is begun anew must not come by a version it had before: see conversation.lua.
      redis.call('HSET', record, 'version', now + 1,
        unpack(ARGV, facts, facts + ARGV[first + 6] - 1))
    end
    if ARGV[first + 1] == 'now' then redis.call('HSET', record, 'created', now, 'updated', now) end
  end
end
