package hosts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/tailscale/hujson"
)

// inputsKey is the member with what VS Code asks for.
const inputsKey = "inputs"

func (d *jsonText) merge(h Host, s Server) (Change, error) {
	var c Change
	servers, err := d.at(h.ServersKey)
	if err != nil {
		return c, err
	}
	if servers != nil && servers.Value.Kind() != '{' {
		return c, fmt.Errorf("%w: %s is not an object", ErrShape, h.ServersKey)
	}
	found, err := d.find(h, s.Name)
	if err != nil {
		return c, err
	}
	if found != nil && found.URL != "" {
		return c, fmt.Errorf("%w: %s in it is a server that is reached at a URL", ErrShape, s.Name)
	}
	for _, input := range h.inputs(s) {
		if err := d.addInput(input); err != nil {
			return c, err
		}
	}
	if found == nil {
		return c, d.set(h.entry(s), h.ServersKey, s.Name)
	}
	c.Existed = true
	for _, m := range h.entry(s) {
		variables, isEnv := m.value.(members)
		if !isEnv {
			changed, err := d.update(m.value, h.ServersKey, s.Name, m.name)
			if err != nil {
				return c, err
			}
			c.NewCommand = c.NewCommand || changed
			continue
		}
		for _, v := range variables {
			if stands(found.Env[v.name]) {
				c.KeptKeys = append(c.KeptKeys, v.name)
			} else if _, err := d.update(v.value, h.ServersKey, s.Name, m.name, v.name); err != nil {
				return c, err
			}
		}
	}
	return c, d.dropUnused(h, s, found, &c)
}

// dropUnused takes out what refers to secrets that the server has from elsewhere
// now.
func (d *jsonText) dropUnused(h Host, s Server, found *Found, c *Change) error {
	dropped := false
	for _, variable := range s.Unused {
		switch value := found.Env[variable]; {
		case h.madeHere(variable, value):
			if err := d.drop(variable, h.ServersKey, s.Name, "env"); err != nil {
				return err
			}
			dropped = true
		case value != "":
			c.KeptUnused = append(c.KeptUnused, variable)
		}
	}
	if !dropped {
		return nil
	}
	if env, err := d.at(h.ServersKey, s.Name, "env"); err == nil && bytes.Equal(d.text[env.StartOffset:env.EndOffset], []byte("{}")) {
		if err := d.drop("env", h.ServersKey, s.Name); err != nil {
			return err
		}
	}
	return d.removeInputs(h)
}

// drop takes a member out of the object at a path.
func (d *jsonText) drop(name string, path ...string) error {
	v, err := d.at(path...)
	if err != nil {
		return err
	}
	i, err := index(v.Value.(*hujson.Object), name)
	if err != nil {
		return err
	}
	return d.cut(v, i)
}

// update sets a value that is another, and says whether it was.
func (d *jsonText) update(value any, path ...string) (bool, error) {
	old, err := d.at(path...)
	if err != nil {
		return false, err
	}
	if old != nil {
		have, err := decode(*old)
		if err != nil {
			return false, err
		}
		if want, err := decode(hujson.Value{Value: hujson.Literal(d.render(value, "", false))}); err == nil && same(have, want) {
			return false, nil
		}
	}
	return true, d.set(value, path...)
}

// addInput adds what the host asks for, unless it does already.
func (d *jsonText) addInput(input members) error {
	list, err := d.at(inputsKey)
	if err != nil {
		return err
	}
	if list == nil {
		if err := d.set([]string{}, inputsKey); err != nil {
			return err
		}
		list, _ = d.at(inputsKey)
	}
	array, ok := list.Value.(*hujson.Array)
	if !ok {
		return fmt.Errorf("%w: %s is not a list", ErrShape, inputsKey)
	}
	for _, element := range array.Elements {
		if inputOf(element)["id"] == input[0].value {
			return nil
		}
	}
	return d.insert(list, func(indent string, spread bool) string { return d.render(input, indent, spread) })
}

func inputOf(element hujson.Value) map[string]any {
	value, _ := decode(element)
	input, _ := value.(map[string]any)
	return input
}

func (d *jsonText) remove(h Host, name string) (Change, error) {
	found, err := d.find(h, name)
	if err != nil || found == nil {
		return Change{}, err
	}
	if err := d.drop(name, h.ServersKey); err != nil {
		return Change{}, err
	}
	return Change{Existed: true}, d.removeInputs(h)
}

// removeInputs takes out what only the server that is gone was asked for.
func (d *jsonText) removeInputs(h Host) error {
	if h.Secrets != Asks {
		return nil
	}
	for {
		list, err := d.at(inputsKey)
		if err != nil || list == nil || list.Value.Kind() != '[' {
			return err
		}
		i := d.unused(h, list.Value.(*hujson.Array))
		if i < 0 {
			return nil
		}
		if err := d.cut(list, i); err != nil {
			return err
		}
	}
}

// unused is which input is of our making and refers to nothing; -1 where none is.
func (d *jsonText) unused(h Host, list *hujson.Array) int {
	for i, element := range list.Elements {
		input := inputOf(element)
		id, _ := input["id"].(string)
		if ourInput(input) && !bytes.Contains(d.text, []byte(fmt.Sprintf(h.reference, id))) {
			return i
		}
	}
	return -1
}

// inputMark begins the description of an input that Merge made.
const inputMark = "fal.ai: "

// ourInput reports whether an input is one that Merge made: a person may describe
// theirs by the same first words.
func ourInput(input map[string]any) bool {
	description, _ := input["description"].(string)
	key, marked := strings.CutPrefix(description, inputMark)
	return marked && input["id"] == inputID(key)
}

func (d *jsonText) find(h Host, name string) (*Found, error) {
	servers, err := d.at(h.ServersKey)
	if err != nil || servers == nil || servers.Value.Kind() != '{' {
		return nil, err
	}
	v, err := d.at(h.ServersKey, name)
	if err != nil || v == nil {
		return nil, err
	}
	value, err := decode(*v)
	if err != nil {
		return nil, err
	}
	entry, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: %s.%s is not an object", ErrShape, h.ServersKey, name)
	}
	if env, ok := entry["env"]; ok {
		if _, ok := env.(map[string]any); !ok {
			return nil, fmt.Errorf("%w: env of %s is not an object", ErrShape, name)
		}
	}
	return foundIn(entry), nil
}

// foundIn is a server out of the members of its entry.
func foundIn(entry map[string]any) *Found {
	f := &Found{Env: map[string]string{}}
	f.Command, _ = entry["command"].(string)
	f.Args, f.Forwarded = texts(entry["args"]), texts(entry["env_vars"])
	env, _ := entry["env"].(map[string]any)
	for variable, value := range env {
		f.Env[variable], _ = value.(string)
	}
	for _, member := range []string{"url", "serverUrl", "httpUrl"} {
		if url, ok := entry[member].(string); ok {
			f.URL = url
		}
	}
	return f
}

// texts are the strings in a list.
func texts(value any) []string {
	list, _ := value.([]any)
	var out []string
	for _, element := range list {
		if text, ok := element.(string); ok {
			out = append(out, text)
		}
	}
	return out
}

func (d *jsonText) others(h Host, name string) (any, error) {
	value, err := decode(d.root)
	if err != nil {
		return nil, err
	}
	root, _ := value.(map[string]any)
	if servers, ok := root[h.ServersKey].(map[string]any); ok {
		if delete(servers, name); len(servers) == 0 {
			delete(root, h.ServersKey)
		}
	}
	inputs, isList := root[inputsKey].([]any)
	if h.Secrets != Asks || !isList {
		return root, nil
	}
	var rest []any
	for _, input := range inputs {
		if fields, ok := input.(map[string]any); !ok || !ourInput(fields) {
			rest = append(rest, input)
		}
	}
	if root[inputsKey] = rest; len(rest) == 0 {
		delete(root, inputsKey)
	}
	return root, nil
}

// decode is a value without its comments, numbers as they are written.
func decode(v hujson.Value) (any, error) {
	v = v.Clone()
	v.Minimize()
	decoder := json.NewDecoder(bytes.NewReader(v.Pack()))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("%w: it is not JSON", ErrBroken)
	}
	return value, nil
}

func same(a, b any) bool { return reflect.DeepEqual(a, b) }
