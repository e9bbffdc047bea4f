-- needs: common
-- For the archive: whole conversations, as many as fit into one reply, each as it is at one moment.
-- KEYS  content, recency index, then the record and open runs of each, then the runs of each
-- ARGV  how many bytes are enough, the index of the last run to read, how many fields of the record to fetch, their names ('expires'
--       first, then 'replies'), then the id of each
-- Returns the time if one of them has a deadline, the scores, then of the first ones, at least of
-- one: false if nothing is stored; or field (false none), the list (false if its key has another
-- type), fields and values of the open runs (false without any), and the values of the fields of
-- the record (false if its key has another type).
local content, order = unpack(KEYS)
local room, last, count = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local fields, first = {unpack(ARGV, 4, count + 3)}, count + 3
local stop = 2 * (#ARGV - first) + 2
-- In layout `hash` there are none.
local has_lists = redis.call('EXISTS', unpack(KEYS, stop + 1)) > 0
local found = {false, false}
for i = 1, #ARGV - first do
  local id, record, open, runs = ARGV[first + i], KEYS[2 * i + 1], KEYS[2 * i + 2], KEYS[stop + i]
  local field = redis.call('HGET', content, id)
  local row = false
  if field or redis.call('EXISTS', record, runs) > 0 then
    local texts = has_lists and tolerant('LRANGE', runs, 0, last) or not has_lists and {}
    local values = tolerant('HMGET', record, unpack(fields))
    row = {field, texts or false, values and values[2] and tolerant('HGETALL', open) or false, values or false}
    -- Only then: a user who may only read may lack TIME, which is not in @read.
    if values and values[1] then found[1] = found[1] or clock() end
    room = room - (field and #field or 0)
    for _, text in ipairs(texts or {}) do room = room - #text end
  end
  found[#found + 1] = row
  if room <= 0 then break end
end
found[2] = redis.call('ZMSCORE', order, unpack(ARGV, first + 1, first + #found - 2))
return found
