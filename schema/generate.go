package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/invopop/jsonschema"
)

// Generate returns the schema of the struct T as compact JSON, its properties
// in the order of T's fields. It serves inputs and outputs alike.
//
// Every property needs a description. T is refused, with all faults joined
// into one error that names the fields, where its schema would not say what
// encoding/json does or where a host would refuse it: recursive types, any,
// json.RawMessage, []byte, maps with keys that are not strings, types that
// marshal themselves (time.Time), unknown tags, and tag values that don't
// parse.
func Generate[T any]() (json.RawMessage, error) {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("schema: %s is not a struct", t)
	}
	if reason := refusedType(t); reason != "" {
		return nil, fmt.Errorf("schema: %s %s", t, reason)
	}
	var c checker
	c.structFields(t, "")
	if len(c.faults) > 0 {
		return nil, fmt.Errorf("schema: %s: %w", t, errors.Join(c.faults...))
	}
	reflector := jsonschema.Reflector{DoNotReference: true, Anonymous: true}
	s := reflector.ReflectFromType(t)
	s.Version = ""
	doc, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("schema: %s: %w", t, err)
	}
	return doc, nil
}
