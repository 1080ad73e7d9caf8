-- demand.lua: what an exchange wants of its limits, in words. Stands before the scripts that are told.
--
-- KEYS[1]     the exchange's record                  {search}:exchange:ex_01a2…
-- KEYS[2..]   a bucket for each demand               {search}:team-day:dollars:team=search
-- then        the leases of each that is a budget    {search}:team-day:dollars:team=search:leases
--
-- A demand is one of
--   "rate 1000000 60000000 1 1 enforce"              cost, size, gain, per, mode: micro-tokens; gain in per microseconds
--   "slot 8 shadow"                                  amount, mode
--   "budget 1200 50000000 1794960000 1795046400 1795132800 1795219200 warn"
--                                                    cost, amount, four edges, mode: edges in seconds, as in budget.py
--
-- The record says how much of each demand is held, and is negative for what is not: "1000000 1 -1". After the
-- settlement it is "settled".
--
-- Law: whatever is touched is named in KEYS. Modes other than enforce never refuse.

local NO, YES, SET_ASIDE, UNLOADED, HELD = 0, 1, 2, 3, 4

local function demand_of(words)
  local kind = string.sub(words, 1, 4)
  if kind == 'rate' then
    local cost, size, gain, per, mode = string.match(words, '^rate (%d+) (%d+) (%d+) (%d+) (%a+)$')
    return {
      is_rate = true,
      cost = tonumber(cost),
      size = tonumber(size),
      gain = tonumber(gain),
      per = tonumber(per),
      enforced = mode == 'enforce',
    }
  elseif kind == 'slot' then
    local amount, mode = string.match(words, '^slot (%d+) (%a+)$')
    return { is_slot = true, cost = 1, amount = tonumber(amount), enforced = mode == 'enforce' }
  end
  local cost, amount, last, this, next, after, mode =
    string.match(words, '^budget (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%a+)$')
  return {
    is_budget = true,
    cost = tonumber(cost),
    amount = tonumber(amount),
    edges = { tonumber(last), tonumber(this), tonumber(next), tonumber(after) },
    enforced = mode == 'enforce',
  }
end

-- So many demands, from ARGV[first] on, with their keys.
local function demands_from(first, count)
  local demands, leases = {}, count + 1
  for index = 1, count do
    local demand = demand_of(ARGV[first + index - 1])
    demand.bucket = KEYS[index + 1]
    if demand.is_budget then
      leases = leases + 1
      demand.leases = KEYS[leases]
    end
    demands[index] = demand
  end
  return demands
end

-- What a record says is held of each demand.
local function amounts_of(record)
  local amounts = {}
  for amount in string.gmatch(record, '%S+') do amounts[#amounts + 1] = tonumber(amount) end
  return amounts
end

local function remember(record, amounts, keep_ms)
  for index, amount in ipairs(amounts) do amounts[index] = string.format('%.0f', amount) end
  redis.call('SET', record, table.concat(amounts, ' '), 'PX', keep_ms)
end
