package files

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// namedInError is how many files a message names at most.
const namedInError = 5

// Limits bound what Collect looks at and reads.
type Limits struct {
	Bytes   int64 // of all files together
	Files   int
	Entries int // files and folders that globs lead through
	Depth   int // folders below a glob's fixed part
}

// DefaultLimits are 600,000 bytes in 1,000 files, found among 100,000 entries
// 64 folders deep.
func DefaultLimits() Limits {
	return Limits{Bytes: 600_000, Files: 1000, Entries: 100_000, Depth: 64}
}

// Collect reads the text files that the patterns name: paths as Open takes them,
// and globs such as src/**/*.go. Globs leave out what is hidden, what a
// .gitignore inside the allowed folder ignores, and what is named like a secret;
// a path is refused for such a name. Each file comes once, and all in the order
// of their paths, whatever the order of the patterns. Files that are not UTF-8
// text, globs that match nothing, and whatever goes beyond the limits are an
// *Error; other errors are the context's.
func (f *Folders) Collect(ctx context.Context, patterns []string, limits Limits) ([]Text, error) {
	now, release := f.hold()
	defer release()
	c := collector{ctx: ctx, now: now, budget: budget{limits: limits}}
	if len(patterns) > limits.Files {
		return nil, invalid("Name fewer files, or use a glob.", "%d paths and globs are given; the limit is %d", len(patterns), limits.Files)
	}
	for _, pattern := range patterns {
		if err := c.add(pattern); err != nil {
			return nil, err
		}
	}
	c.settle()
	if fault := c.tooMuch(); fault != nil {
		return nil, fault
	}
	return c.read()
}

type collector struct {
	ctx    context.Context
	now    view
	budget budget
	chosen []candidate
}

// A candidate is a file that may be read; it is judged again when it is.
type candidate struct {
	folder *folder
	elems  []string
	rank   int
	shown  string
	key    string
	size   int64
}

func (c *collector) add(pattern string) error {
	if !isGlob(pattern) {
		file, err := c.now.open(c.ctx, pattern, math.MaxInt64)
		if err != nil {
			return err
		}
		return c.choose(file)
	}
	// A file may be named like a glob: app/[id]/page.tsx.
	if _, fault := hostRules().split(pattern); fault == nil && !strings.ContainsAny(pattern, "*?") {
		file, err := c.now.lookUp(c.ctx, pattern, math.MaxInt64)
		if err == nil {
			return c.choose(file)
		}
		if !errors.Is(err, errNotFound) && !errors.Is(err, errOutside) {
			return err
		}
	}
	return c.addGlob(pattern)
}

func (c *collector) choose(file *File) error {
	c.chosen = append(c.chosen, candidate{
		folder: file.folder, elems: file.elems, rank: file.rank,
		shown: file.shown, key: file.key, size: file.size,
	})
	return file.Close()
}

func (c *collector) addGlob(name string) error {
	starts, fault := splitGlob(name)
	if fault != nil {
		return fault
	}
	leftOut, before := 0, len(c.chosen)
	for _, start := range starts {
		n, err := c.addStart(name, start)
		if err != nil {
			return err
		}
		leftOut += n
	}
	switch {
	case len(c.chosen) > before:
		return nil
	case leftOut > 0:
		return invalid("Name the files by their paths.",
			`no file that may be sent matches "%s"; %d %s left out: hidden, ignored by .gitignore, or not allowed`, Visible(name), leftOut, pick(leftOut, "was", "were"))
	}
	return invalid(actCheck, `no file matches "%s"`, Visible(name))
}

// addStart looks in each allowed folder, and counts what it leaves out.
func (c *collector) addStart(name string, start globStart) (leftOut int, err error) {
	within := false
	for rank, folder := range c.now.folders {
		elems, ok := folder.below(start.base)
		if !ok || !folder.admitsGlob(name) {
			continue
		}
		within = true
		g := glob{ctx: c.ctx, folder: folder, secrets: secretRules(), name: name, base: elems, patterns: start.patterns, budget: &c.budget}
		if err := g.run(); err != nil {
			return 0, err
		}
		leftOut += g.leftOut
		for _, found := range g.found {
			skipped, err := c.chooseFound(folder, rank, found, rank == 0 || !start.base.absolute)
			if err != nil {
				return 0, err
			}
			if skipped {
				leftOut++
			}
		}
	}
	if !within {
		return 0, c.now.outside(name)
	}
	return leftOut, nil
}

// chooseFound takes a file that a glob found. What Open would not allow, and
// what is gone by now, is left out.
func (c *collector) chooseFound(folder *folder, rank int, elems []string, relative bool) (skipped bool, err error) {
	shown := shownPath(folder, elems, relative)
	file, err := folder.open(c.ctx, elems, shown, math.MaxInt64)
	var fault *Error
	if errors.Is(err, errNotFound) || errors.As(err, &fault) && fault.Code == CodeNotAllowed {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	file.folder, file.elems, file.rank, file.shown = folder, elems, rank, shown
	return false, c.choose(file)
}

// settle sorts the files and drops what is there twice: the same file under two
// names, or through two folders, of which the first counts, and a relative path
// that an earlier folder has too.
func (c *collector) settle() {
	slices.SortFunc(c.chosen, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.shown, b.shown))
	})
	keys, shown := map[string]bool{}, map[string]bool{}
	c.chosen = slices.DeleteFunc(c.chosen, func(f candidate) bool {
		twice := keys[f.key] || shown[f.shown]
		keys[f.key], shown[f.shown] = true, true
		return twice
	})
	slices.SortFunc(c.chosen, func(a, b candidate) int { return cmp.Compare(a.shown, b.shown) })
}

func (c *collector) tooMuch() *Error {
	limits := c.budget.limits
	if len(c.chosen) > limits.Files {
		return invalid("Name fewer files.", "%s named; the limit is %d", count(len(c.chosen), "file")+pick(len(c.chosen), " is", " are"), limits.Files)
	}
	total := int64(0)
	for _, f := range c.chosen {
		total += min(f.size, math.MaxInt64-total)
	}
	if total <= limits.Bytes {
		return nil
	}
	largest := slices.Clone(c.chosen)
	slices.SortStableFunc(largest, func(a, b candidate) int { return cmp.Compare(b.size, a.size) })
	var named []string
	for _, f := range largest[:min(len(largest), namedInError)] {
		named = append(named, fmt.Sprintf(`"%s" (%d)`, Visible(f.shown), f.size))
	}
	return invalid("Name fewer files, or parts of them.", "the %s %s, about %s; the limit is %s. The largest: %s",
		count(len(c.chosen), "file")+pick(len(c.chosen), " has", " have"), count(total, "byte"), count(EstimateTokens(total), "token"), count(limits.Bytes, "byte"), strings.Join(named, ", "))
}

// read opens each file anew and reads it.
func (c *collector) read() ([]Text, error) {
	left := c.budget.limits.Bytes
	texts := make([]Text, 0, len(c.chosen))
	var binary []string
	for _, chosen := range c.chosen {
		content, err := chosen.read(c.ctx, left)
		if err != nil {
			return nil, err
		}
		left -= int64(len(content))
		if !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
			binary = append(binary, `"`+Visible(chosen.shown)+`"`)
			continue
		}
		sum := sha256.Sum256(content)
		texts = append(texts, Text{Path: chosen.shown, Content: string(content), SHA256: hex.EncodeToString(sum[:])})
	}
	if len(binary) > 0 {
		more := ""
		if len(binary) > namedInError {
			more = fmt.Sprintf(" and %d more", len(binary)-namedInError)
		}
		return nil, invalid("Leave them out, or convert them to UTF-8; media belong in image_url, video_url or audio_url.",
			"not UTF-8 text: %s%s", strings.Join(binary[:min(len(binary), namedInError)], ", "), more)
	}
	return texts, nil
}

func (f candidate) read(ctx context.Context, limit int64) ([]byte, error) {
	file, err := f.folder.open(ctx, f.elems, f.shown, limit)
	if errors.Is(err, errNotFound) {
		return nil, missing(f.shown)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // was only read
	file.shown = f.shown
	content := make([]byte, file.Size())
	if _, err := io.ReadFull(io.NewSectionReader(file, 0, file.Size()), content); err != nil && file.Size() > 0 {
		return nil, err
	}
	return content, file.Changed()
}
