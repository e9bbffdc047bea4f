-- needs: common
-- Restore conversations where there are none. The arguments of each, few because each one costs
-- the client as much as a command of a script costs the server:
--   'OWNED SCORE DEADLINE FACTS RUNS DIGESTS NAME VALUE ...': 1 if it has an owner, else 0; score and
--   deadline ('-' none, 'now'); how many further fields and values of the record, runs in the list,
--   and digests of their ids follow (-N for N runs that are in a list of their own, by which the keys
--   end); the fields and values of the record without a space in them
--   id, field, then what follows

-- The arguments of one from ARGV[first] on, with its keys: record, runs, their ids, the order of its
-- owner (or of nobody, if it has none). `stop` is where those of the next one begin.
local function described(first, record, runs, ids, order, stage)
  local owned, score, deadline, facts, count, known, rest =
    ARGV[first]:match('^(%d) (%S+) (%S+) (%d+) (%-?%d+) (%d+)()')
  local texts = first + 3 + facts
  local digests = texts + math.max(0, count)
  return {
    id = ARGV[first + 1], field = ARGV[first + 2], record = record, runs = runs, ids = ids,
    order = owned == '1' and order, score = score ~= '-' and score,
    deadline = deadline ~= '-' and deadline, plain = ARGV[first]:sub(rest),
    facts = first + 3, texts = texts, digests = digests, stop = digests + known,
    staged = count:sub(1, 1) == '-' and -count, stage = stage,
  }
end

local function is_staged(it)
  return not it.staged or redis.call('LLEN', it.stage) == it.staged
end

local function record_of(it, now)
  -- What is begun anew must not come by a version it had before: see conversation.lua.
  local pairs = {'version', now + 1}
  for part in it.plain:gmatch('%S+') do pairs[#pairs + 1] = part end
  for i = it.facts, it.texts - 1 do pairs[#pairs + 1] = ARGV[i] end
  return pairs
end

local function restore(content, recent, expiry, all)
  local now, scores, fields = clock(), {}, {}
  for _, it in ipairs(all) do
    local score = it.score == 'now' and now or it.score
    if score then scores[#scores + 1], scores[#scores + 2] = score, it.id end
    if score and it.order then redis.call('ZADD', it.order, score, it.id) end
    if it.deadline then redis.call('ZADD', expiry, it.deadline, it.id) end
    fields[#fields + 1], fields[#fields + 2] = it.id, it.field
  end
  for i = 1, #scores, MANY do
    redis.call('ZADD', recent, unpack(scores, i, math.min(i + MANY - 1, #scores)))
  end
  for _, it in ipairs(all) do
    for i = it.texts, it.digests - 1, MANY do
      redis.call('RPUSH', it.runs, unpack(ARGV, i, math.min(i + MANY, it.digests) - 1))
    end
    if it.staged then
      redis.call('PERSIST', it.stage)
      redis.call('RENAME', it.stage, it.runs)
    end
    if it.stop > it.digests then
      redis.call('SET', it.ids, table.concat(ARGV, '', it.digests, it.stop - 1), 'PX', 3600000)
    end
  end
  for i = 1, #fields, MANY do
    redis.call('HSET', content, unpack(fields, i, math.min(i + MANY - 1, #fields)))
  end
  for _, it in ipairs(all) do
    if it.deadline then
      redis.pcall('HPEXPIREAT', content, it.deadline, 'FIELDS', 1, it.id)
      redis.pcall('PEXPIREAT', it.runs, it.deadline)
    end
    local facts = record_of(it, now)
    if #facts > 2 then redis.call('HSET', it.record, unpack(facts)) end
    if it.score == 'now' then redis.call('HSET', it.record, 'created', now, 'updated', now) end
  end
end
