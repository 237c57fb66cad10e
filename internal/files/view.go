package files

import (
	"fmt"
	"slices"
	"strings"
)

const (
	maxFolders       = 64
	allowedInError   = 5   // folders that a message names as allowed
	refusedInError   = 3   // and as refused
	maxFolderInError = 120 // runes of each
)

// A view is what one call sees of the Folders: which are open, and what to tell
// of them.
type view struct {
	folders  []*folder
	refused  []Refusal
	discreet bool
}

// Discreet sets whether errors keep silent about which folders are allowed, and
// which were refused and why. They tell unless it is called: the caller is then
// the operator's own host. One that is somewhere else must not learn the
// server's paths.
func (f *Folders) Discreet(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.discreet = on
}

// hold returns the folders of now, kept open until release is called.
func (f *Folders) hold() (now view, release func()) {
	f.refresh()
	f.mu.Lock()
	defer f.mu.Unlock()
	now = view{refused: f.refused, discreet: f.discreet}
	for _, place := range f.current {
		if place.open == nil {
			now.refused = append(now.refused[:len(now.refused):len(now.refused)], Refusal{Visible(place.name), place.reason})
			continue
		}
		place.open.hold()
		now.folders = append(now.folders, place.open)
	}
	return now, func() {
		for _, folder := range now.folders {
			folder.release()
		}
	}
}

func (v view) noFolder() *Error {
	return notAllowed(actAllow, "no folder is allowed, so no file can be read%s", v.tellRefused())
}

// outside is the refusal of what lies in no allowed folder.
func (v view) outside(name string) *Error {
	if !slices.ContainsFunc(v.folders, func(fo *folder) bool { return fo.only == nil }) {
		return v.noFolder()
	}
	return notAllowed(actAllow, `"%s" is not in an allowed folder%s%s`, Visible(name), v.tellAllowed(), v.tellRefused())
}

func (v view) tellAllowed() string {
	var told []string
	for _, folder := range v.folders {
		if folder.only != nil {
			continue
		}
		told = append(told, `"`+visible(folder.real, maxFolderInError)+`"`)
	}
	return v.tell("allowed", told, allowedInError)
}

func (v view) tellRefused() string {
	var told []string
	for _, r := range v.refused {
		told = append(told, fmt.Sprintf(`"%s" %s`, visible(r.Folder, maxFolderInError), visible(r.Reason, maxFolderInError)))
	}
	return v.tell("refused", told, refusedInError)
}

func (v view) tell(what string, told []string, most int) string {
	if v.discreet || len(told) == 0 {
		return ""
	}
	if more := len(told) - most; more > 0 {
		told = append(told[:most], fmt.Sprintf("%d more", more))
	}
	return "; " + what + ": " + strings.Join(told, ", ")
}
