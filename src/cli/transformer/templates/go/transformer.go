// @NAME@: a Tenterhook transformer. Edit Transform; Describe and Check say what its options are.
package main

import (
	"encoding/json"
	"errors"
	"strings"
)

type options struct {
	Greeting *string `json:"greeting"`
}

func Describe() Description {
	return Description{
		Name:    "@NAME@",
		Version: "0.1.0",
		Summary: "Greets every event",
		OptionsSchema: `{"type":"object","additionalProperties":false,"properties":{"greeting":{"type":"string",
			"minLength":1,"default":"Hello","description":"What the text begins with"}}}`,
	}
}

func read(text string) (string, error) {
	var given options
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&given); err != nil {
		return "", err
	}
	if given.Greeting == nil {
		return "Hello", nil
	}
	if *given.Greeting == "" {
		return "", errors.New("option `greeting` is empty")
	}
	return *given.Greeting, nil
}

// Check is called when a configuration is loaded. The error is shown to the person who wrote the options.
func Check(options string) error {
	_, err := read(options)
	return err
}

// Transform gets one event, or several of a webhook with `batch` (oldest first). An error fails the attempt, which is
// retried.
func Transform(events []Event, options string) (Outcome, error) {
	event := events[0]
	if strings.HasPrefix(event.Type, "test.") {
		return Outcome{Drop: "tests are not greeted"}, nil
	}
	greeting, err := read(options)
	if err != nil {
		return Outcome{}, err
	}
	data := struct {
		Name string `json:"name"`
	}{Name: "world"}
	// Data of another kind has no name: the world is greeted.
	_ = json.Unmarshal([]byte(event.Data), &data)
	Log(LevelDebug, "greeting "+event.ID)
	body, err := json.Marshal(map[string]string{"text": greeting + ", " + data.Name, "type": event.Type})
	return Outcome{Body: string(body), Headers: []Header{{"x-greeter", "1"}}}, err
}
