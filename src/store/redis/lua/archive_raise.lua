-- Has logs of rooms that are new begin there at least. the index
raise_floor('', tonumber(ARGV[6]))
return 1
