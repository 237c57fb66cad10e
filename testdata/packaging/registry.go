package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/modelcontextprotocol/registry/pkg/model"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// checkServerJSON holds a file to the schema that comes with the registry's own
// module, and to what the registry wants beyond it of these packages.
func checkServerJSON(name string) error {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/modelcontextprotocol/registry").Output()
	if err != nil {
		return fmt.Errorf("finding the registry's module: %w", err)
	}
	file := filepath.Join(strings.TrimSpace(string(out)), "internal", "validators", "schemas", model.CurrentSchemaVersion+".json")
	schema, err := jsonschema.NewCompiler().Compile(file)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return err
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var server struct {
		Schema   string `json:"$schema"`
		Packages []model.Package
	}
	if err := json.Unmarshal(text, &server); err != nil {
		return err
	}
	if server.Schema != model.CurrentSchemaURL {
		return fmt.Errorf("%s: schema %s is not the current one, %s", name, server.Schema, model.CurrentSchemaURL)
	}
	bundles := 0
	for _, p := range server.Packages {
		switch {
		case p.RegistryType == model.RegistryTypeMCPB && (p.FileSHA256 == "" || !strings.HasPrefix(p.Identifier, "https://github.com/")):
			return fmt.Errorf("%s: bundle %s has no checksum, or is not where the registry takes bundles from", name, p.Identifier)
		case p.RegistryType == model.RegistryTypeOCI && (p.Version != "" || p.RegistryBaseURL != ""):
			return errors.New("an image has its version in its identifier only")
		case p.RegistryType == model.RegistryTypeMCPB:
			bundles++
		}
	}
	fmt.Printf("ok    server.json: valid by the registry's schema %s, %d bundles\n", model.CurrentSchemaVersion, bundles)
	return nil
}
