package tools

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemotron-mcp/internal/falsim"
	"nemotron-mcp/internal/jobs"
)

// pngOf is a picture of that size; noise makes it unlike others, and larger.
func pngOf(t *testing.T, w, h int, noise string) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, w, h))
	// What looks random does not shrink.
	for i := 0; noise != "" && i < len(img.Pix); i += sha256.Size {
		sum := sha256.Sum256(fmt.Append(nil, noise, i))
		copy(img.Pix[i:], sum[:])
	}
	var b bytes.Buffer
	must(t, png.Encode(&b, img))
	return b.Bytes()
}

func jpegOf(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 9, 9)), nil))
	return b.Bytes()
}

// wavOf is silence of so many seconds, at a rate of 10 bytes a second.
func wavOf(seconds int) []byte {
	const rate = 10
	data := rate * seconds
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	b = binary.LittleEndian.AppendUint32(b, rate)
	b = binary.LittleEndian.AppendUint32(b, rate) // bytes a second
	b = append(b, 1, 0, 8, 0)
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), uint32(data))
	return append(b, make([]byte, data)...)
}

func mp3Of() []byte {
	frame := make([]byte, 417)
	copy(frame, "\xff\xfb\x90\x00")
	return bytes.Repeat(frame, 5)
}

func mp4Of(seconds, width, height int) []byte {
	box := func(kind string, parts ...[]byte) []byte {
		body := bytes.Join(parts, nil)
		return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+8)), kind...), body...)
	}
	mvhd, tkhd := make([]byte, 100), make([]byte, 84)
	binary.BigEndian.PutUint32(mvhd[12:], 1000)
	binary.BigEndian.PutUint32(mvhd[16:], uint32(seconds)*1000)
	binary.BigEndian.PutUint32(tkhd[76:], uint32(width)<<16)
	binary.BigEndian.PutUint32(tkhd[80:], uint32(height)<<16)
	return bytes.Join([][]byte{
		box("ftyp", []byte("isom\x00\x00\x02\x00isomiso2mp41")), box("mdat", make([]byte, 5000)),
		box("moov", box("mvhd", mvhd), box("trak", box("tkhd", tkhd))),
	}, nil)
}

func dataURI(kind string, content []byte) string {
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(content)
}

// sentMedium is what fal got in a field of its nth job.
func (r *rig) sentMedium(n int, field string) string {
	r.t.Helper()
	var in map[string]any
	must(r.t, json.Unmarshal(r.sim.Jobs()[n].Input, &in))
	text, _ := in[field].(string)
	return text
}

func TestMediaSent(t *testing.T) {
	t.Parallel()
	small, large := pngOf(t, 9, 9, ""), pngOf(t, 150, 150, "large")
	tests := []struct {
		name, field string
		content     []byte
		value       string // empty names a file of the content
		kind        string
		endpoint    string
		uploaded    bool
		note        string
	}{
		{"PNG", "image_url", small, "", "image/png", "/vision", true, "image_url media/it"},
		{"JPEG", "image_url", jpegOf(t), "", "image/jpeg", "/vision", true, "image_url media/it"},
		{"large PNG", "image_url", large, "", "image/png", "/vision", true, "image_url media/it"},
		{"MP4", "video_url", mp4Of(119, 1920, 1080), "", "video/mp4", "/video", true, "video_url media/it"},
		{"WAV", "audio_url", wavOf(2), "", "audio/wav", "/audio", true, "audio_url media/it"},
		{"MP3", "audio_url", mp3Of(), "", "audio/mpeg", "/audio", true, "audio_url media/it"},
		{"small data URI", "image_url", small, dataURI("image/png", small), "image/png", "/vision", false, "image_url, a data URI"},
		{"data URI without a type", "image_url", small, dataURI("", small), "image/png", "/vision", false, "image_url, a data URI"},
		{"large data URI", "image_url", large, dataURI("image/png", large), "image/png", "/vision", true, "image_url, a data URI"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
				if tt.value == "" {
					tt.value = "media/it"
					r.write(tt.value, tt.content)
				}
				a := r.call("nemotron_generate", args(t, "prompt", "What is it?", tt.field, tt.value))
				job := a.job(t)
				sent := r.sim.Jobs()[0]
				if job.Status != "COMPLETED" || sent.Endpoint != "nvidia/nemotron-3-nano-omni"+tt.endpoint || r.sentPrompt(0) != "What is it?" {
					t.Errorf("sent to %s with %s: %s", sent.Endpoint, sent.Input, a.raw)
				}
				want := &falsim.Media{Field: tt.field, Kind: tt.kind, Size: int64(len(tt.content)), SHA256: sumOf(tt.content)}
				if diff := cmp.Diff(want, sent.Media); diff != "" {
					t.Errorf("the model got (-want +got): %s", diff)
				}
				st := r.sim.Stats()
				goes, prefix := r.sentMedium(0, tt.field), "data:"+tt.kind+";base64,"
				if tt.uploaded {
					prefix = "http://localhost/files/b/"
				}
				if uploads := map[bool]int{true: 1}[tt.uploaded]; !strings.HasPrefix(goes, prefix) || st.Uploads != uploads || st.Requests.Initiate != uploads {
					t.Errorf("fal is given %.99s after %d uploads", goes, st.Uploads)
				}
				if st.KeyOnPublicURL != 0 {
					t.Error("the key went to a public URL")
				}
				wantIn(t, job.Note, "Sent with the prompt: "+tt.note, fmt.Sprintf("(%s, %d bytes).", tt.kind, len(tt.content)))
				wantIn(t, r.rows(), fmt.Sprintf(`"content_type":%q,"size_bytes":%d,"sha256":%q`, tt.kind, len(tt.content), sumOf(tt.content)))
				wantNotIn(t, r.rows()+r.log.String(), goes)
			})
		})
	}
}

func TestMediumByURL(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		const raw = "https://example.com/a%20b/c.png?token=hidden&x=%2F"
		a := r.call("nemotron_generate", args(t, "prompt", "Hi", "image_url", raw))
		if got := r.sentMedium(0, "image_url"); got != raw || r.sim.Jobs()[0].Endpoint != "nvidia/nemotron-3-nano-omni/vision" {
			t.Errorf("fal is given %s", got)
		}
		if got, want := a.job(t).Note, "Sent with the prompt: image_url, a URL on example.com."; got != want {
			t.Errorf("note %q, not %q", got, want)
		}
		wantIn(t, r.rows(), `"attachments":[{"field":"image_url","path":"example.com"}]`)
		wantNotIn(t, r.rows()+r.log.String(), "hidden")
		if n := r.sim.Stats().Requests.Initiate; n != 0 {
			t.Errorf("%d uploads", n)
		}
	})
}

// TestMediumOfUpload holds that what upload_file gives can be named.
func TestMediumOfUpload(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		picture := pngOf(t, 9, 9, "")
		r.write("it.png", picture)
		up := r.upload(`{"path":"it.png"}`)
		job := r.call("nemotron_generate", args(t, "prompt", "Hi", "image_url", up.URL)).job(t)
		wantIn(t, job.Note, "image_url, a URL on fal.")
		if got := r.sim.Jobs()[0].Media; got == nil || got.SHA256 != sumOf(picture) || r.sim.Stats().Uploads != 1 {
			t.Errorf("the model got %+v after %d uploads", got, r.sim.Stats().Uploads)
		}
	})
}

// TestFilesWithMedium holds that both go with one call.
func TestFilesWithMedium(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		r.write("notes.txt", []byte("the notes"))
		r.write("it.png", pngOf(t, 9, 9, ""))
		job := r.call("nemotron_generate", `{"prompt":"Compare","files":["notes.txt"],"image_url":"it.png"}`).job(t)
		wantIn(t, r.sentPrompt(0), "the notes", "Compare")
		wantIn(t, job.Note, "1 file: notes.txt (9 bytes, about 3 tokens); image_url it.png (image/png, ")
		if sent := r.sim.Jobs()[0]; sent.Media == nil || !strings.HasSuffix(sent.Endpoint, "/vision") {
			t.Errorf("sent to %s: %+v", sent.Endpoint, sent.Media)
		}
		if got := r.list(`{}`).Jobs[0].Prompt; got != "Compare" {
			t.Errorf("listed as %q", got)
		}
	})
}

// TestSeveralMedia holds that all faults are told at once.
func TestSeveralMedia(t *testing.T) {
	t.Parallel()
	inBubble(t, rigOptions{}, func(t *testing.T, r *rig) {
		r.write("it.png", pngOf(t, 9, 9, ""))
		for name, given := range map[string]string{
			"two":   `"image_url":"it.png","audio_url":"it.wav"`,
			"empty": `"image_url":"it.png","video_url":""`,
			"three": `"image_url":"it.png","video_url":"a","audio_url":"b"`,
		} {
			a := r.call("nemotron_generate", `{"prompt":"Hi","webhook_url":"https://user:pass@example.com",`+given+`}`)
			if a.code() != string(jobs.InvalidInput) {
				t.Errorf("%s: told as %s", name, a.text)
			}
			wantIn(t, a.text, "webhook_url: must be an https URL", "image_url, video_url, audio_url: at most one of them may be given", "nothing was sent or spent")
		}
		r.wantNothing()
	})
}

func TestMediaRefused(t *testing.T) {
	t.Parallel()
	picture := pngOf(t, 9, 9, "")
	tests := []struct {
		name, field string
		content     []byte
		value       string // empty names a file of the content
		code        jobs.Code
		in          []string
	}{
		{"text for an image", "image_url", []byte("no image"), "", jobs.FileInvalid, []string{`"media/it" is text/plain`, "takes image/jpeg or image/png"}},
		{"a picture for a video", "video_url", picture, "", jobs.FileInvalid, []string{"is image/png", "takes video/mp4"}},
		{"a video for a recording", "audio_url", mp4Of(1, 9, 9), "", jobs.FileInvalid, []string{"is video/mp4", "takes audio/wav or audio/mpeg"}},
		{"a sound for an image", "image_url", wavOf(1), "", jobs.FileInvalid, []string{"is audio/wav"}},
		{"a long video", "video_url", mp4Of(180, 640, 480), "", jobs.FileInvalid, []string{"lasts 3m0s"}},
		{"a 4K video", "video_url", mp4Of(5, 3840, 2160), "", jobs.FileInvalid, []string{"3840", "up to 1080p"}},
		{"a long recording", "audio_url", wavOf(52 * 60), "", jobs.FileInvalid, []string{"lasts 52m0s"}},
		{"a wide picture", "image_url", pngOf(t, 16385, 1, ""), "", jobs.FileInvalid, []string{"16385"}},
		{"too large", "image_url", append(bytes.Clone(picture), make([]byte, 60_000)...), "", jobs.FileInvalid, []string{"the limit is 60000"}},
		{"empty", "image_url", []byte{}, "", jobs.FileInvalid, []string{"is empty"}},
		{"missing", "image_url", nil, "nothing.png", jobs.FileInvalid, []string{"is not found"}},
		{"no name", "image_url", nil, "", jobs.FileInvalid, []string{"The path is empty"}},
		{"a secret", "image_url", nil, ".env", jobs.FileNotAllowed, []string{"secret"}},
		{"a data URI of text", "image_url", nil, dataURI("text/plain", []byte("hello")), jobs.FileInvalid, []string{"is text/plain"}},
		{"a data URI that claims another kind", "image_url", nil, dataURI("image/png", []byte("hello")), jobs.FileInvalid, []string{"claims to be image/png"}},
		{"a data URI with bad padding", "image_url", nil, "data:image/png;base64,iVBORw0KGgo=A", jobs.FileInvalid, nil},
		{"a data URI without content", "image_url", nil, "data:image/png;base64,", jobs.FileInvalid, []string{"empty"}},
		{"a data URI that is too large", "image_url", nil, dataURI("image/png", append(bytes.Clone(picture), make([]byte, 60_000)...)), jobs.FileInvalid, []string{"60000"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, rigOptions{maxUpload: 60_000}, func(t *testing.T, r *rig) {
				r.write(".env", picture)
				if tt.content != nil {
					tt.value = "media/it"
					r.write(tt.value, tt.content)
				}
				a := r.call("nemotron_generate", args(t, "prompt", "Hi", tt.field, tt.value))
				wantRefused(t, a, tt.code, append(tt.in, tt.field, "Nothing was sent.")...)
				r.wantNothing()
				if spent := r.list(`{}`).SpentTodayUSD; spent != 0 {
					t.Errorf("$%v is spent", spent)
				}
			})
		})
	}
}
