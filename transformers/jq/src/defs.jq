# Definitions of jq that jaq lacks, or has with fewer inputs. <https://github.com/jqlang/jq/blob/jq-1.7.1/src/builtin.jq>

def setpath($path; $value):
  if ($path | length) == 0 then $value
  else $path[0] as $key | __fill($key) | .[$key] |= setpath($path[1:]; $value) end;

def delpaths($paths):
  def delete($path):
    if . == null or isarray and ($path[0] | isnumber) and ($path[0] >= length or $path[0] < -length) then .
    elif ($path | length) == 0 then null
    elif ($path | length) == 1 then .[$path[0]] |= empty
    else .[$path[0]] as $inner | if $inner == null then . else .[$path[0]] |= delete($path[1:]) end end;
  reduce ($paths | sort | reverse[]) as $path (.; delete($path));
def del(f): delpaths([path(f)]);

def from_entries:
  reduce .[] as $entry ({}; . + {
    ($entry | if .key == null then .k // .name // .Name // .K // .Key else .key end
      | if isstring then . else tojson end):
    ($entry | if has("value") then .value elif has("v") then .v else .Value end)
  });
def with_entries(f): to_entries | map(f) | from_entries;

def INDEX(stream; f): reduce stream as $row ({}; . + {($row | f | tostring): $row});
def INDEX(f): INDEX(.[]; f);
def IN(stream): . as $value | any(stream; . == $value);
def IN(source; stream): any(source; IN(stream));

def leaf_paths: paths(scalars);
def tostream:
  path(def rec: (.[]? | rec), .; rec) as $path
  | getpath($path) | reduce path(.[]?) as $last ([$path, .]; [$path + $last]);
def fromstream(stream):
  {value: null, done: false} as $start
  | foreach stream as $item ($start;
      if .done then $start else . end
      | if ($item | length) == 2
        then .done = (($item[0] | length) == 0) | .value |= setpath($item[0]; $item[1])
        else .done = (($item[0] | length) == 1) end;
      if .done then .value else empty end);

def ltrimstr($start):
  if isstring and ($start | isstring) and startswith($start) then .[($start | length):] else . end;
def rtrimstr($end):
  if isstring and ($end | isstring) and endswith($end) then .[:length - ($end | length)] else . end;

def regex_and_flags: if isarray then [.[0], .[1] // ""] else [., ""] end;
def test($re):    ($re | regex_and_flags) as [$re, $flags] | test($re; $flags);
def match($re):   ($re | regex_and_flags) as [$re, $flags] | match($re; $flags);
def capture($re): ($re | regex_and_flags) as [$re, $flags] | capture($re; $flags);

def @csv:
  [.[] | if isstring then "\"" + (split("\"") | join("\"\"")) + "\""
         elif . == null then ""
         elif isarray or isobject then error("\(.) cannot be a value of a CSV row")
         else tojson end] | join(",");
def @tsv:
  def escape($from; $to): split($from) | join($to);
  [.[] | if isstring then escape("\\"; "\\\\") | escape("\t"; "\\t") | escape("\n"; "\\n") | escape("\r"; "\\r")
         elif . == null then ""
         elif isarray or isobject then error("\(.) cannot be a value of a TSV row")
         else tojson end] | join("\t");
