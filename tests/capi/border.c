/* What a C program may do wrong, and what it may rely on: border MODEL, of a small model that gives
 * one vector a text. Prints `ok NAME` for each check. */

#include <encoderfile.h>

#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not %s\n", __func__, __LINE__, #condition);                    \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static const char *path;
static encoderfile_model model;
static size_t width;

static encoderfile_text text(const char *chars)
{
    return (encoderfile_text){.data = chars, .len = strlen(chars)};
}

/* The call failed so, and its message has these words. */
static void refused(encoderfile_status status, encoderfile_error *error,
                    encoderfile_status expected, const char *words)
{
    const char *message = encoderfile_error_message(error);
    if (status != expected || encoderfile_error_status(error) != expected ||
        !strstr(message, words) || strchr(message, '\n')) {
        fprintf(stderr, "status %d for %d, \"%s\" for \"%s\"\n", status, expected, message, words);
        exit(1);
    }
    encoderfile_error_free(error);
}

static float *encoded(const encoderfile_text *texts, size_t count)
{
    float *rows = malloc(count * width * sizeof *rows);
    REQUIRE(rows && !encoderfile_encode(model, texts, count, NULL, 0, rows, count * width, NULL));
    return rows;
}

static void opening(void)
{
    encoderfile_error *error;
    encoderfile_model none = 7;
    encoderfile_status status = encoderfile_open(path, strlen(path), 0, NULL, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`model` is NULL");
    status = encoderfile_open(NULL, 3, 0, &none, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`path` is NULL");
    REQUIRE(none == 0);
    status = encoderfile_open("a\xff", 2, 0, &none, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`path` is not UTF-8 at byte 1");
    status = encoderfile_open(path, SIZE_MAX, 0, &none, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`path` is longer than memory");
    status = encoderfile_open(path, strlen(path), SIZE_MAX, &none, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`threads` is");
    status = encoderfile_open("no/such", 7, 0, &none, &error);
    refused(status, error, ENCODERFILE_STATUS_FILE, "no/such: No such file");
    status = encoderfile_open("a\0b", 3, 0, &none, &error);
    refused(status, error, ENCODERFILE_STATUS_FILE, "a\xef\xbf\xbd" "b");
    status = encoderfile_open("/", 1, 0, &none, &error);
    refused(status, error, ENCODERFILE_STATUS_FILE, "/");
    REQUIRE(encoderfile_open("no/such", 7, 0, &none, NULL) == ENCODERFILE_STATUS_FILE);
    REQUIRE(none == 0);
    puts("ok opening");
}

static unsigned char *whole(size_t *len)
{
    FILE *file = fopen(path, "rb");
    REQUIRE(file && !fseek(file, 0, SEEK_END));
    *len = (size_t)ftell(file);
    unsigned char *bytes = malloc(*len);
    REQUIRE(bytes && !fseek(file, 0, SEEK_SET) && fread(bytes, 1, *len, file) == *len);
    fclose(file);
    return bytes;
}

static void bytes(void)
{
    size_t len;
    encoderfile_error *error;
    unsigned char *file = whole(&len);
    encoderfile_model other;
    REQUIRE(!encoderfile_open_bytes(file, len, 1, &other, NULL) && other && other != model);
    encoderfile_close(other);
    /* A file that was cut, or is another. */
    for (size_t cut = 0; cut < len; cut += len / 20 + 1) {
        encoderfile_status status = encoderfile_open_bytes(file, cut, 1, &other, &error);
        refused(status, error, ENCODERFILE_STATUS_FILE, "");
        REQUIRE(other == 0);
    }
    file[len / 2] ^= 1;
    encoderfile_status status = encoderfile_open_bytes(file, len, 1, &other, &error);
    refused(status, error, ENCODERFILE_STATUS_FILE, "");
    free(file);
    puts("ok bytes");
}

static void arguments(void)
{
    encoderfile_error *error;
    encoderfile_text some[2] = {text("a text"), text("another")};
    float *rows = malloc(2 * width * sizeof *rows);
    encoderfile_status status = encoderfile_encode(model, NULL, 2, NULL, 0, rows, 2 * width, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`texts` is NULL");
    status = encoderfile_encode(model, some, 2, NULL, 0, NULL, 2 * width, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`embeddings` is NULL");
    status = encoderfile_encode(model, some, SIZE_MAX / 8, NULL, 0, rows, 2 * width, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`texts` is longer than memory");
    status = encoderfile_encode(model, (void *)((char *)some + 1), 1, NULL, 0, rows, width, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`texts` is not aligned");
    status = encoderfile_encode(model, some, 2, NULL, 0, (void *)((char *)rows + 1), 1, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`embeddings` is not aligned");
    status = encoderfile_encode(model, some, 2, NULL, 0, rows, 2 * width - 1, &error);
    refused(status, error, ENCODERFILE_STATUS_BUFFER_TOO_SMALL, "2 texts of");
    some[1].data = NULL;
    status = encoderfile_encode(model, some, 2, NULL, 0, rows, 2 * width, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`texts[1]` is NULL");
    some[1] = text("ab\xc3");
    status = encoderfile_encode(model, some, 2, NULL, 0, rows, 2 * width, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`texts[1]` is not UTF-8 at byte 2");
    status = encoderfile_dimensions(model, NULL, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`dimensions` is NULL");
    status = encoderfile_info_json(model, NULL, NULL, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`json` is NULL");
    free(rows);
    puts("ok arguments");
}

static void options(void)
{
    encoderfile_error *error;
    encoderfile_text some = text("a text");
    float *row = malloc(width * sizeof *row);
    const char *unknown = "{\"normalise\": true}", *list = "[]", *wrong = "{\"top_k\": 3}";
    encoderfile_status status =
        encoderfile_encode(model, &some, 1, unknown, strlen(unknown), row, width, &error);
    refused(status, error, ENCODERFILE_STATUS_REQUEST, "unknown field `normalise`");
    status = encoderfile_encode(model, &some, 1, list, strlen(list), row, width, &error);
    refused(status, error, ENCODERFILE_STATUS_REQUEST, "expected a map");
    status = encoderfile_encode(model, &some, 1, wrong, strlen(wrong), row, width, &error);
    refused(status, error, ENCODERFILE_STATUS_REQUEST, "`top_k` does not apply");
    const char *two = "{\"dimensions\": 2, \"normalize\": true}";
    REQUIRE(!encoderfile_encode(model, &some, 1, two, strlen(two), row, 2, &error) && !error);
    REQUIRE(fabsf(row[0] * row[0] + row[1] * row[1] - 1) < 1e-5f);
    free(row);
    puts("ok options");
}

static void numbers(void)
{
    encoderfile_text some[3] = {text("a text"), {.data = NULL, .len = 0}, text("東京 😀")};
    float *rows = encoded(some, 3), *last = encoded(some + 2, 1);
    REQUIRE(!memcmp(rows + 2 * width, last, width * sizeof *last));
    float similar[2];
    REQUIRE(!encoderfile_similarity(model, "a text", 6, some, 2, NULL, 0, similar, 2, NULL));
    REQUIRE(fabsf(similar[0] - 1) < 1e-5f && similar[1] < similar[0]);
    REQUIRE(!encoderfile_encode(model, NULL, 0, NULL, 0, NULL, 0, NULL));
    encoderfile_error *error;
    encoderfile_status status =
        encoderfile_similarity(model, "a", 1, some, 3, NULL, 0, similar, 2, &error);
    refused(status, error, ENCODERFILE_STATUS_BUFFER_TOO_SMALL, "3 texts of 1 values");
    free(rows);
    free(last);
    puts("ok numbers");
}

static void json(void)
{
    char *answer;
    size_t len;
    encoderfile_error *error;
    REQUIRE(!encoderfile_info_json(model, &answer, &len, &error) && !error);
    REQUIRE(len == strlen(answer) && strstr(answer, "\"task\":\"sentence_embedding\""));
    encoderfile_string_free(answer);
    const char *request = "{\"inputs\": [\"a text\"]}";
    REQUIRE(!encoderfile_infer_json(model, request, strlen(request), &answer, NULL, NULL));
    REQUIRE(strstr(answer, "{\"results\":[{\"embedding\":["));
    encoderfile_string_free(answer);
    REQUIRE(!encoderfile_tokenize_json(model, request, strlen(request), &answer, &len, NULL));
    REQUIRE(strstr(answer, "\"tokens_used\":"));
    encoderfile_string_free(answer);
    REQUIRE(!encoderfile_self_test_json(model, &answer, &len, NULL));
    REQUIRE(strstr(answer, "\"passed\":true"));
    encoderfile_string_free(answer);
    encoderfile_status status = encoderfile_infer_json(model, "{", 1, &answer, &len, &error);
    refused(status, error, ENCODERFILE_STATUS_REQUEST, "EOF while parsing");
    REQUIRE(!answer && !len);
    status = encoderfile_infer_json(model, NULL, 1, &answer, &len, &error);
    refused(status, error, ENCODERFILE_STATUS_ARGUMENT, "`request` is NULL");
    puts("ok json");
}

/* Everything is an error once it is closed. */
static void closed(void)
{
    encoderfile_error *error;
    encoderfile_model other;
    REQUIRE(!encoderfile_open(path, strlen(path), 1, &other, NULL));
    encoderfile_close(other);
    encoderfile_close(other);
    encoderfile_close(0);
    encoderfile_close(UINT64_MAX);
    float row[1];
    char *answer;
    size_t number;
    encoderfile_status status = encoderfile_encode(other, NULL, 0, NULL, 0, row, 1, &error);
    refused(status, error, ENCODERFILE_STATUS_CLOSED, "it was closed, or never opened");
    status = encoderfile_infer_json(other, "{}", 2, &answer, NULL, &error);
    refused(status, error, ENCODERFILE_STATUS_CLOSED, "no such model");
    status = encoderfile_dimensions(0, &number, &error);
    refused(status, error, ENCODERFILE_STATUS_CLOSED, "no such model");
    status = encoderfile_info_json(UINT64_MAX, &answer, NULL, &error);
    refused(status, error, ENCODERFILE_STATUS_CLOSED, "no such model");
    encoderfile_error_free(NULL);
    encoderfile_string_free(NULL);
    REQUIRE(encoderfile_error_status(NULL) == ENCODERFILE_STATUS_OK);
    REQUIRE(!*encoderfile_error_message(NULL));
    puts("ok closed");
}

static void *computing(void *expected)
{
    encoderfile_text some[2] = {text("one of many threads"), text("that share a model")};
    for (int i = 0; i < 5; i++) {
        float *rows = encoded(some, 2);
        REQUIRE(!memcmp(rows, expected, 2 * width * sizeof *rows));
        free(rows);
    }
    return NULL;
}

static void *until_closed(void *data)
{
    encoderfile_model other = *(encoderfile_model *)data;
    encoderfile_text some = text("a text");
    float *row = malloc(width * sizeof *row);
    encoderfile_status status;
    while (!(status = encoderfile_encode(other, &some, 1, NULL, 0, row, width, NULL)))
        ;
    REQUIRE(status == ENCODERFILE_STATUS_CLOSED);
    free(row);
    return NULL;
}

static void threads(void)
{
    encoderfile_text some[2] = {text("one of many threads"), text("that share a model")};
    float *expected = encoded(some, 2);
    pthread_t all[8];
    for (int i = 0; i < 8; i++)
        REQUIRE(!pthread_create(&all[i], NULL, computing, expected));
    for (int i = 0; i < 8; i++)
        REQUIRE(!pthread_join(all[i], NULL));
    free(expected);
    encoderfile_model other;
    REQUIRE(!encoderfile_open(path, strlen(path), 2, &other, NULL));
    for (int i = 0; i < 4; i++)
        REQUIRE(!pthread_create(&all[i], NULL, until_closed, &other));
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    encoderfile_close(other);
    for (int i = 0; i < 4; i++)
        REQUIRE(!pthread_join(all[i], NULL));
    puts("ok threads");
}

/* A child's threads are its parent's: it is told so, and opens the file again. It says by a pipe that
 * all went well, since under valgrind its exit code is about what the parent's threads hold. */
static void forked(void)
{
    int ends[2];
    REQUIRE(!pipe(ends));
    encoderfile_text some = text("before and after");
    float *before = encoded(&some, 1), *row = malloc(width * sizeof *row);
    fflush(stdout);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(300);
        encoderfile_error *error;
        encoderfile_status status = encoderfile_encode(model, &some, 1, NULL, 0, row, width, &error);
        refused(status, error, ENCODERFILE_STATUS_FORKED, "open it again in this process");
        encoderfile_model own;
        REQUIRE(!encoderfile_open(path, strlen(path), 2, &own, NULL));
        status = encoderfile_encode(model, &some, 1, NULL, 0, row, width, &error);
        refused(status, error, ENCODERFILE_STATUS_FORKED, "forked");
        REQUIRE(!encoderfile_encode(own, &some, 1, NULL, 0, row, width, NULL));
        REQUIRE(!memcmp(row, before, width * sizeof *row));
        encoderfile_close(own);
        encoderfile_close(model);
        REQUIRE(write(ends[1], "y", 1) == 1);
        _exit(0);
    }
    char answer;
    close(ends[1]);
    REQUIRE(read(ends[0], &answer, 1) == 1 && waitpid(child, NULL, 0) == child);
    close(ends[0]);
    float *after = encoded(&some, 1);
    REQUIRE(!memcmp(before, after, width * sizeof *after));
    free(before);
    free(after);
    free(row);
    puts("ok forked");
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    path = argv[1];
    REQUIRE(encoderfile_abi_version() == ENCODERFILE_ABI_VERSION);
    REQUIRE(strstr(encoderfile_licenses(), "tokenizers "));
    REQUIRE(!encoderfile_open(path, strlen(path), 2, &model, NULL));
    REQUIRE(!encoderfile_dimensions(model, &width, NULL) && width > 2);
    opening();
    bytes();
    arguments();
    options();
    numbers();
    json();
    closed();
    threads();
    forked();
    encoderfile_close(model);
    return 0;
}
