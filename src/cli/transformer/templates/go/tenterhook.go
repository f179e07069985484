// The border between Tenterhook and transformer.go, and the interface of wit/1.1.0/transformer.wit: usually nothing to
// change here. Values cross as the component model's canonical ABI lays them out in 32 bits, which are structures here too.
package main

import "unsafe"

// Event is what a transformer gets.
type Event struct {
	ID, Type, Timestamp string
	// Data is JSON, byte for byte as published.
	Data string
	// Metadata and Tenant are empty if the event has none.
	Metadata, Tenant string
}

// Description is what a module says about itself.
type Description struct{ Name, Version, Summary, OptionsSchema string }

// Header is a header of the request.
type Header struct{ Name, Value string }

// Outcome is what becomes of the events: a request, or nothing if Drop gives a reason.
type Outcome struct {
	Body    string
	Headers []Header
	// Method and URL are POST and the webhook's own when empty.
	Method, URL string
	Drop        string
}

// Levels of the log.
const (
	LevelDebug = iota
	LevelInfo
	LevelWarn
	LevelError
)

//go:wasmimport tenterhook:transformer/host@1.1.0 log
func hostLog(level int32, line string)

// Log writes a line into the attempt's log.
func Log(level int32, line string) { hostLog(level, line) }

type abiText struct{ at, len uint32 }

type abiMaybe struct {
	isSome uint32
	value  abiText
}

type abiEvent struct {
	id, kind, timestamp, data abiText
	metadata, tenant          abiMaybe
}

// What the host is given stays in memory until the call ends, and the instance with it.
var held []any

func give(text string) abiText {
	if text == "" {
		return abiText{}
	}
	held = append(held, text)
	return abiText{uint32(uintptr(unsafe.Pointer(unsafe.StringData(text)))), uint32(len(text))}
}

func giveMaybe(text string) abiMaybe {
	if text == "" {
		return abiMaybe{}
	}
	return abiMaybe{1, give(text)}
}

func take(text abiText) string {
	return unsafe.String((*byte)(unsafe.Pointer(uintptr(text.at))), text.len)
}

func result[T any](value T) unsafe.Pointer {
	made := new(T)
	*made = value
	held = append(held, made)
	return unsafe.Pointer(made)
}

// Where the host puts what it passes in. Not `cabi_realloc`: that one would also be called before Go's runtime has started.
//
//go:wasmexport cabi_export_realloc
func realloc(_ unsafe.Pointer, _, _, size uint32) unsafe.Pointer {
	// Eight bytes at a time: aligned for whatever comes.
	made := make([]uint64, size/8+1)
	held = append(held, made)
	return unsafe.Pointer(unsafe.SliceData(made))
}

//go:wasmexport describe
func exportDescribe() unsafe.Pointer {
	made := Describe()
	return result([4]abiText{give(made.Name), give(made.Version), give(made.Summary), give(made.OptionsSchema)})
}

//go:wasmexport check
func exportCheck(at, length uint32) unsafe.Pointer {
	if err := Check(take(abiText{at, length})); err != nil {
		return result(abiMaybe{1, give(err.Error())})
	}
	return result(abiMaybe{})
}

type abiRequest struct {
	result, outcome uint32
	isBytes         uint32
	body            abiText
	headers         abiText
	method, url     abiMaybe
}

//go:wasmexport transform
func exportTransform(events, count, options, length uint32) unsafe.Pointer {
	var given []Event
	for _, one := range unsafe.Slice((*abiEvent)(unsafe.Pointer(uintptr(events))), count) {
		event := Event{ID: take(one.id), Type: take(one.kind), Timestamp: take(one.timestamp), Data: take(one.data)}
		// A tag is one byte; the three beside it are not.
		if one.metadata.isSome&255 == 1 {
			event.Metadata = take(one.metadata.value)
		}
		if one.tenant.isSome&255 == 1 {
			event.Tenant = take(one.tenant.value)
		}
		given = append(given, event)
	}
	made, err := Transform(given, take(abiText{options, length}))
	if err != nil {
		return result(abiMaybe{1, give(err.Error())})
	}
	if made.Drop != "" {
		return result([4]uint32{0, 3, give(made.Drop).at, uint32(len(made.Drop))})
	}
	list := make([][2]abiText, len(made.Headers))
	for i, header := range made.Headers {
		list[i] = [2]abiText{give(header.Name), give(header.Value)}
	}
	held = append(held, list)
	headers := abiText{uint32(uintptr(unsafe.Pointer(unsafe.SliceData(list)))), uint32(len(list))}
	return result(abiRequest{outcome: 2, body: give(made.Body), headers: headers, method: giveMaybe(made.Method), url: giveMaybe(made.URL)})
}

func main() {}
