-- The numbers of INFO mmap for redis_exporter, which passes on no field that it does not know:
--     redis_exporter -script mmap.lua
-- exports each as redis_script_values{key="mmap_..."}.
local found = {}
for name, number in string.gmatch(redis.call('INFO', 'mmap'), '(mmap_[%w_]+):(%d+)\r') do
    found[#found + 1] = name
    found[#found + 1] = number
end
return found
